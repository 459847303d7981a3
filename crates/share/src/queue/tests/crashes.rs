//! A death before every step of every operation, and of every recovery.
use super::*;
