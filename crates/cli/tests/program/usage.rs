//! What is the same for all commands: usage errors, messages, colour, broken pipes, odd names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;

use crate::start::{COMMANDS, Folder, bytes, finish, program, run};

#[test]
fn wrong_usage_ends_with_2_and_says_what_was_wrong() {
    let cases: [(&[&str], &str); 8] = [
        (&[], "Usage"),
        (&["frobnicate"], "frobnicate"),
        (&["show", "--sort", "colour", "x"], "colour"),
        (&["show", "--range", "5", "x"], "is not a range"),
        (&["warm", "--rate", "0", "x"], "0 bytes a second"),
        (&["warm", "--rate", "fast", "x"], "is not a size"),
        (&["tour", "--size", "1e9"], "is not a size"),
        (&["bench", "--rounds", "0", "x"], "rounds"),
    ];
    for (arguments, word) in cases {
        let run = run(arguments).ended(2);
        assert!(run.err.contains(word), "{arguments:?}: {}", run.err);
        assert_eq!(run.out, "", "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_data() {
    assert!(run(["--help"]).ended(0).out.contains("Exit codes"));
    assert_eq!(run(["--version"]).ended(0).out, concat!("mapwright ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = run(["--help"]).out;
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command}")), "{command} is not in the help");
        assert!(run([command, "--help"]).ended(0).out.contains("Usage"));
    }
    assert!(!help.contains("generate"), "a command for packagers is not everybody's");
}

#[test]
fn a_missing_path_is_named_by_every_command() {
    for command in COMMANDS {
        let run = match command {
            "share" => run(["share", "list", "--dir", "/no/such/file"]).ended(1),
            _ => run([command, "/no/such/file"]).ended(1),
        };
        assert!(run.err.contains("\"/no/such/file\": no such file or directory"), "{command}: {}", run.err);
        assert!(!run.err.contains("os error"), "{command}: {}", run.err);
    }
}

#[test]
fn no_path_at_all_is_said_to_be_missing() {
    for command in ["show", "warm", "evict", "lock"] {
        let run = run([command]).ended(2);
        assert!(
            run.err.contains("no PATH was given") && run.err.contains("--files-from"),
            "{command}: {}",
            run.err
        );
    }
}

#[test]
fn an_unknown_scheme_lists_those_that_there_are() {
    for command in ["show", "cat", "warm"] {
        let run = run([command, "s3://bucket/key"]).ended(1);
        assert!(run.err.contains("no target `s3:`") && run.err.contains("file:PATH"), "{}", run.err);
    }
}

#[test]
fn some_done_and_some_not_ends_with_3() {
    let folder = Folder::new();
    let file = folder.file("a", b"abc");
    let missing = folder.path().join("missing");
    let shown = run([OsStr::new("show"), file.as_os_str(), missing.as_os_str()]).ended(3);
    assert!(shown.out.contains("/a") && shown.err.contains("/missing"), "{}{}", shown.out, shown.err);
    let cat = run([OsStr::new("cat"), missing.as_os_str(), file.as_os_str()]).ended(3);
    assert_eq!(cat.out, "abc");
}

#[test]
fn what_cannot_be_looked_at_is_said_to_be_what_it_is() {
    let cases = [
        ("/dev/null", "character device"),
        (env!("CARGO_TARGET_TMPDIR"), "neither a file nor a block device"),
    ];
    assert!(run(["show", cases[0].0]).ended(1).err.contains(cases[0].1));
    assert!(run(["bench", cases[1].0]).ended(1).err.contains(cases[1].1));
    assert!(run(["cat", cases[1].0]).ended(1).err.contains("is a directory"));
}

#[test]
fn colour_comes_when_it_is_asked_for_and_never_into_pipes_by_itself() {
    let folder = Folder::new();
    let file = folder.file("a", &bytes(10_000));
    let escapes = |arguments: &[&str], no_color: bool| {
        let mut command = program();
        if no_color {
            command.env("NO_COLOR", "1");
        }
        finish(command.args(arguments).arg("show").arg(&file)).ended(0).out.contains('\u{1b}')
    };
    assert!(!escapes(&[], false));
    assert!(!escapes(&[], true));
    assert!(!escapes(&["--color", "never"], false));
    assert!(escapes(&["--color", "always"], false));
}

#[test]
fn ascii_is_ascii() {
    let folder = Folder::new();
    folder.file("a", &bytes(100_000));
    let folder = folder.path().as_os_str();
    assert!(!run([OsStr::new("show"), folder]).ended(0).out.is_ascii());
    assert!(run([OsStr::new("--ascii"), OsStr::new("show"), folder]).ended(0).out.is_ascii());
    let run = finish(program().env("LC_ALL", "C").arg("show").arg(folder)).ended(0);
    assert!(run.out.is_ascii(), "{}", run.out);
    let file = Path::new(folder).join("a");
    let file = file.to_str().unwrap();
    for arguments in [
        &["tour", "--size", "1M", "--dir", folder.to_str().unwrap()][..],
        &["bench", "--rounds", "1", "--time", "0.02", file],
        &["doctor", "-v"],
        &["doctor", "--pid", &std::process::id().to_string()],
        &["warm", file],
    ] {
        let run = finish(program().env("LC_ALL", "C").args(arguments)).ended(0);
        assert!(run.out.is_ascii() && run.err.is_ascii(), "{arguments:?}: {}{}", run.out, run.err);
    }
}

#[test]
fn a_reader_that_leaves_ends_the_program_in_silence() {
    let folder = Folder::new();
    let file = folder.file("a", &bytes(8 << 20));
    for arguments in [&["cat"][..], &["show", "--json", "--ranges"], &["show"]] {
        let mut command = program();
        let mut child =
            command.args(arguments).arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Gone before anything is written, or in the middle: both must be quiet.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{arguments:?}");
    }
}

#[test]
fn a_full_device_is_an_error_that_names_the_output() {
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let run = finish(program().args(["cat", "/proc/self/status"]).stdout(full())).ended(1);
    assert!(run.err.contains("cannot write the output: no space left on device"), "{}", run.err);
    let run = finish(program().args(["show", "/proc/self/exe"]).stdout(full())).ended(1);
    assert!(run.err.contains("cannot write the output"), "{}", run.err);
}

#[test]
fn odd_names_are_shown_harmlessly_and_survive_json() {
    let folder = Folder::new();
    let names: [&[u8]; 4] = [b"two\nlines", b"\xff\xfe", b"\x1b[31mred", "ünïcode".as_bytes()];
    for name in names {
        let path = folder.file(OsStr::from_bytes(name), b"x");
        let shown = run([OsStr::new("show"), path.as_os_str()]).ended(0);
        assert!(!shown.out.contains('\u{1b}') && shown.out.lines().count() < 9, "{:?}", shown.out);
        assert_eq!(run([OsStr::new("cat"), path.as_os_str()]).ended(0).out, "x");
        let json = run([OsStr::new("show"), OsStr::new("--json"), path.as_os_str()]).ended(0).json();
        let target = &json["targets"][0];
        let bytes = match target["path_hex"].as_str() {
            Some(hex) => (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect(),
            None => target["path"].as_str().unwrap().as_bytes().to_vec(),
        };
        assert_eq!(bytes, path.as_os_str().as_bytes());
    }
}

#[test]
fn a_name_that_looks_like_a_target_with_a_range_is_that_file() {
    let folder = Folder::new();
    let path = folder.file("s3:log:1-2", b"all of it");
    let run = finish(program().current_dir(folder.path()).args(["cat", "s3:log:1-2"])).ended(0);
    assert_eq!(run.out, "all of it");
    assert_eq!(finish(program().arg("cat").arg(path)).ended(0).out, "all of it");
}
