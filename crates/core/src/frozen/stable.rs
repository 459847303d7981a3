//! Moving the owner does not move the bytes: for self-referential types, such as yoke's, that want to be
//! told.

#![allow(unsafe_code, reason = "promises that a marker trait asks for; listed in docs/SOUNDNESS.md")]

use stable_deref_trait::{CloneStableDeref, StableDeref};

use super::slice::Frozen;
use crate::map::Memory;

// SAFETY: the bytes lie on the heap or in a mapping that the owner points to; `deref` returns the same
// address however the owner is moved.
unsafe impl StableDeref for Frozen {}
// SAFETY: a clone points to the same bytes, and each clone keeps them.
unsafe impl CloneStableDeref for Frozen {}
// SAFETY: the bytes lie in a mapping that moves only through `&mut self`, as a vector's may.
unsafe impl StableDeref for Memory {}
