//! `doctor`: what there is, and what to do about what is not.

use std::process::{Child, Command, Stdio};

use crate::start::{eventually, run, skip};

#[test]
fn every_row_has_a_state_and_what_is_missing_says_what_follows() {
    let json = run(["doctor", "--json"]).ended(0).json();
    assert_eq!(json["schema"], "mapwright.doctor/1");
    let rows = json["capabilities"].as_array().unwrap();
    assert!(rows.len() > 10, "{json}");
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap();
        assert!(["have", "off", "missing"].contains(&text("state")), "{row}");
        assert!(!text("name").is_empty() && !text("purpose").is_empty(), "{row}");
        assert!(text("state") == "have" || !text("without").is_empty(), "{row}");
    }
}

#[test]
fn the_report_is_grouped_and_fits() {
    let run = run(["doctor"]).ended(0);
    for heading in ["Kernel", "Memory", "This process", "This place"] {
        assert!(run.out.lines().any(|line| line == heading), "{}", run.out);
    }
    assert!(run.out.lines().last().unwrap().contains("missing"), "{}", run.out);
    assert!(run.out.contains('\u{2713}'), "{}", run.out);
}

/// A process that is ended when the test is over.
struct Sleeper(Child);

impl Sleeper {
    /// Starts `sleep` by a shell's words; `exec` makes it the same process.
    fn by(script: &str) -> Self {
        let mut shell = Command::new("sh");
        Self(shell.args(["-c", script]).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _it_has_ended = self.0.kill();
        let _it_has_ended = self.0.wait();
    }
}

#[test]
fn a_process_that_blocks_a_signal_is_named_with_the_thread() {
    let mut child = Sleeper::by("exec env --block-signal=BUS sleep 1000");
    let found = eventually(|| {
        let found = run(["doctor", "--json", "--pid", &child.pid()]);
        // The shell and env come first.
        if found.code == 0 && found.json()["name"] == "sleep" {
            return Ok(Some(found.json()));
        }
        if child.0.try_wait().unwrap().is_some() { Ok(None) } else { Err(found.out) }
    });
    let Some(json) = found else { return skip("env", "it cannot block signals") };
    assert_eq!(json["schema"], "mapwright.doctor.process/1");
    assert_eq!((json["pid"].to_string(), &json["threads"]), (child.pid(), &1.into()));
    let blocking = serde_json::json!([{"thread": child.0.id(), "name": "sleep", "signals": ["SIGBUS"]}]);
    assert_eq!(json["blocking"], blocking);
    assert_eq!(json["signals"][0], serde_json::json!({"signal": "SIGBUS", "is": "default"}));
    let text = run(["doctor", "--pid", &child.pid()]).ended(0).out;
    assert!(text.contains(&format!("thread {} (sleep) blocks SIGBUS\n", child.pid())), "{text}");
    assert!(text.contains("SIGBUS: no handler is installed"), "{text}");
}

#[test]
fn a_process_with_handlers_is_said_to_have_them() {
    // Rust's own runtime catches both signals, in this very process.
    let own = std::process::id().to_string();
    eventually(|| {
        let text = run(["doctor", "--pid", &own]).ended(0).out;
        assert!(text.starts_with(&format!("Process {own} (")), "{text}");
        for line in ["SIGBUS: a handler is installed", "SIGSEGV: a handler is installed"] {
            assert!(text.contains(line), "{text}");
        }
        // A thread of another test that starts a process blocks all signals for a moment.
        let none_blocks = text.contains("no thread blocks") && text.contains("signal_report()");
        if none_blocks { Ok(()) } else { Err(text) }
    });
}

#[test]
fn a_signal_that_is_ignored_is_said_to_be() {
    let child = Sleeper::by("trap '' BUS && exec sleep 1000");
    eventually(|| {
        let text = run(["doctor", "--pid", &child.pid()]).out;
        if text.contains("SIGBUS: is ignored") { Ok(()) } else { Err(text) }
    });
}

#[test]
fn a_process_that_is_not_there_is_an_error() {
    // More than the kernel ever gives out.
    let run = run(["doctor", "--pid", "2000000000"]).ended(1);
    assert!(run.err.contains("cannot examine process 2000000000: there is no such process"), "{}", run.err);
    let wrong = crate::start::run(["doctor", "--pid", "x"]).ended(2);
    assert!(wrong.err.contains("`x` is not the number of a process"), "{}", wrong.err);
    for wrong in [&["--pid", "0"][..], &["--pid", "1", "/tmp"], &["--pid", "1", "-v"]] {
        crate::start::run([&["doctor"], wrong].concat()).ended(2);
    }
}
