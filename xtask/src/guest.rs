//! What happens inside the virtual machine: the contents of its memory disk, and the script that is its first
//! process.
//!
//! The script is run by a static busybox of Debian's: mounting, loading modules and switching off are its
//! work, and need no code of ours. Each test program is a child of it, as it would be of a user's shell.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cpio::Archive;
use crate::modules::Module;
use crate::programs::TestProgram;

/// How the last line begins that the script prints; the number of failed programs follows.
pub(crate) const END: &str = "vm: failed programs: ";

/// How often the tests cut a file under its readers: where the processor is emulated each time takes a
/// hundred times longer, and fewer threads meet than on real processors.
const TRUNCATIONS: &str = "300";

/// How many signals fall on processes that share memory: as above.
const STORM: &str = "60";

/// The program whose tests of the clock run with one that leaps.
const CLOCK_TESTS: &str = "proof";

/// Folders that the script mounts something on, or that hold what it uses.
const FOLDERS: [&str; 9] = ["bin", "dev", "disk", "etc", "modules", "proc", "sys", "tests", "tmp"];

/// The disk is a real file system with fs-verity, so that the tests' files are not all in memory.
const SCRIPT: &str = r#"#!/bin/busybox sh
export PATH=/bin HOME=/tmp RUST_BACKTRACE=1 MAPWRIGHT_PATIENCE=10 MAPWRIGHT_TRUNCATIONS=COUNT
export MAPWRIGHT_STORM=SIGNALS
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
for module in /modules/*; do
  insmod "$module" || echo "vm: cannot load $module"
done
mount -t ext4 /dev/vda /disk || echo "vm: cannot mount the disk"
mkdir -p /disk/tmp /disk/verity
export TMPDIR=/disk/tmp MAPWRIGHT_TEST_VERITY_DIR=/disk/verity
echo "vm: Linux $(uname -r), up for $(cut -d ' ' -f 1 /proc/uptime) s"
failed=0
for program in /tests/*; do
  echo "vm: $program"
  "$program" ARGUMENTS || failed=$((failed + 1))
done
# The clock is this machine's own, but other tests read it: alone, and when they are through.
if [ -x /tests/TIMED ]; then
  echo "vm: /tests/TIMED, with a clock that leaps"
  MAPWRIGHT_CLOCK_IS_FREE=1 /tests/TIMED share::clock || failed=$((failed + 1))
fi
echo "END$failed"
umount /disk
poweroff -f
"#;

/// The memory disk: the shell, the script, the modules in the order of loading, the test programs.
pub(crate) fn memory_disk(
    busybox: &Path,
    modules: &[Module],
    programs: &[TestProgram],
    arguments: &[String],
) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.folder(folder)?;
    }
    archive.program("init", script(arguments).as_bytes())?;
    archive.program("bin/busybox", &read(busybox)?)?;
    for (number, module) in modules.iter().enumerate() {
        archive.program(&format!("modules/{number:02}-{}.ko", module.name), &module.content)?;
    }
    for program in programs {
        archive.program(&format!("tests/{}", program.name), &read(&program.path)?)?;
    }
    archive.finish()
}

fn script(arguments: &[String]) -> String {
    let quoted: Vec<_> = arguments.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    let script = SCRIPT.replace("COUNT", TRUNCATIONS).replace("SIGNALS", STORM).replace("END", END);
    let script = script.replace("TIMED", CLOCK_TESTS);
    script.replace("ARGUMENTS", &quoted.join(" "))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("reading {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_programs_as_they_were_typed() {
        let script = script(&["it's".to_owned(), "two words".to_owned()]);
        assert!(script.contains(r#""$program" 'it'\''s' 'two words' ||"#), "{script}");
        assert!(script.contains("MAPWRIGHT_TRUNCATIONS=300\nexport MAPWRIGHT_STORM=60\n"), "{script}");
        assert!(script.contains("echo \"vm: failed programs: $failed\""), "{script}");
    }
}
