//! What a virtual machine is made of: a processor with its emulator, a kernel and a shell of Debian's.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::cargo::cargo;
use crate::debian::Debian;
use crate::{aarch64, project};

/// A processor that is emulated.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Processor {
    /// The one that the tests also run on natively
    #[value(name = "x86_64")]
    X86_64,
    /// The other one that we support
    #[value(name = "aarch64")]
    Aarch64,
}

/// A kernel of Debian's.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// The oldest that we support
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12's
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's
    #[value(name = "6.12")]
    V6_12,
}

/// The program that emulates a processor, and what it must be told.
pub(crate) struct Emulator {
    pub(crate) program: &'static str,
    /// The package that has it.
    pub(crate) package: &'static str,
    pub(crate) machine: &'static [&'static str],
    /// The kernel's name of the serial line.
    pub(crate) console: &'static str,
}

/// The files that Debian gives to a machine.
pub(crate) struct Parts {
    /// Where they were unpacked.
    pub(crate) folder: PathBuf,
    pub(crate) kernel: PathBuf,
    /// The folder with the kernel's modules.
    pub(crate) modules: PathBuf,
    pub(crate) busybox: PathBuf,
}

impl Processor {
    pub(crate) fn emulator(self) -> Emulator {
        match self {
            Self::X86_64 => Emulator {
                program: "qemu-system-x86_64",
                package: "qemu-system-x86",
                machine: &["-cpu", "max"],
                console: "ttyS0",
            },
            Self::Aarch64 => Emulator {
                program: "qemu-system-aarch64",
                package: "qemu-system-arm",
                // The exact pointer signatures of real processors would take most of the emulator's time.
                machine: &["-M", "virt", "-cpu", "max,pauth-impdef=on"],
                console: "ttyAMA0",
            },
        }
    }

    /// Begins a cargo that builds for it, or says what this machine lacks.
    pub(crate) fn build(self) -> Result<Command, String> {
        match self {
            Self::X86_64 if cfg!(all(target_arch = "x86_64", target_env = "gnu")) => {
                let mut command = cargo([]);
                command.env("CARGO_BUILD_TARGET", "x86_64-unknown-linux-gnu");
                Ok(command)
            }
            Self::X86_64 => Err("programs for x86_64 are not cross-built".to_owned()),
            Self::Aarch64 => aarch64::cross_cargo(),
        }
    }

    /// Debian's name for it.
    fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }
}

impl Kernel {
    /// The release that has it, and how the package begins that depends on its newest build.
    fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::V5_10 => ("bullseye", "linux-image-cloud"),
            Self::V6_1 => ("bookworm", "linux-image-cloud"),
            Self::V6_12 => ("bookworm", "linux-image-6.12-cloud"),
        }
    }
}

impl Parts {
    /// Fetches them, or finds them where an earlier run put them.
    pub(crate) fn of(kernel: Kernel, processor: Processor) -> Result<Self> {
        let (release, newest) = kernel.source();
        let architecture = processor.debian();
        let debian = Debian::release(release)?;
        let package =
            debian.dependency(&format!("{newest}-{architecture}:{architecture}"), "linux-image-")?;
        let name = package.split(':').next().unwrap_or(&package);
        let folder = project::target().join("vm").join(format!("linux-{kernel}-{processor}"));
        let packages = [format!("{name}:{architecture}"), format!("busybox-static:{architecture}")];
        debian.unpack(&packages.each_ref().map(String::as_str), &folder)?;
        let version = name.strip_prefix("linux-image-").unwrap_or(name);
        Ok(Self {
            kernel: folder.join(format!("boot/vmlinuz-{version}")),
            modules: folder.join(format!("lib/modules/{version}/kernel")),
            busybox: folder.join("bin/busybox"),
            folder,
        })
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        })
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}
