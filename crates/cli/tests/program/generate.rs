//! `generate`: man pages and completions, for those who package the program.

use std::fs;

use crate::start::{COMMANDS, Folder, finish, program};

#[test]
fn man_pages_and_completions_name_every_command() {
    let folder = Folder::new();
    let dir = folder.path().join("made");
    // A second time over what is there.
    for _time in 0..2 {
        let run = finish(program().arg("generate").arg(&dir)).ended(0);
        assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
    }
    let read =
        |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let page = read("man/mapwright.1");
    assert!(page.contains(".TH mapwright 1") && page.contains("Exit codes"), "{page}");
    for command in COMMANDS {
        assert!(page.contains(&format!("mapwright\\-{command}(1)")), "{command} is not in {page}");
        let own = read(&format!("man/mapwright-{command}.1"));
        let name = format!("mapwright\\-{command} \\- ");
        assert!(own.contains(&name) && own.contains(".SH SYNOPSIS"), "{own}");
        assert!(own.contains("\\-\\-help"), "{own}");
    }
    assert!(read("man/mapwright-bench.1").contains("io_uring"), "the ways are explained");
    let of_share = ["list", "show", "watch", "send", "recv", "snapshot", "prune"];
    for command in of_share {
        assert!(read(&format!("man/mapwright-share-{command}.1")).contains(".SH SYNOPSIS"), "{command}");
    }
    let pages = fs::read_dir(dir.join("man")).unwrap().count();
    assert_eq!(pages, 1 + COMMANDS.len() + of_share.len(), "hidden ones have no page");
    for shell in ["completions/mapwright.bash", "completions/_mapwright", "completions/mapwright.fish"] {
        let script = read(shell);
        for word in COMMANDS.into_iter().chain(["rounds", "restore", "only-cached", "color"]) {
            assert!(script.contains(word), "{word} is not in {shell}");
        }
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    let file = folder.file("file", b"");
    let run = finish(program().arg("generate").arg(&file)).ended(1);
    assert!(run.err.contains("cannot create") && run.err.contains("file/man"), "{}", run.err);
}
