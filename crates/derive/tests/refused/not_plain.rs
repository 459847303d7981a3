//! A type that is not plain where a plain one is needed.

use mapwright_core::Plain;

fn store<T: Plain>(_value: T) {}

fn main() {
    store(String::from("text"));
}
