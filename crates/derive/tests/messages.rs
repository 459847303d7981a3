//! What the derive refuses it refuses by name: each program in `refused/` fails with the message beside it.
//!
//! After a change, `TRYBUILD=overwrite cargo test -p mapwright-derive` writes the messages anew; read them
//! before they are committed.

#[test]
fn each_refusal_says_what_is_wrong_and_what_to_do() {
    let programs = trybuild::TestCases::new();
    programs.compile_fail("tests/refused/*.rs");
    programs.pass("tests/accepted/*.rs");
}
