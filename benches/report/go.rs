//! Go's rows: measured by the program in `benches/go`, one turn a call.

use super::cost::Round;
use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) struct Go {
    program: PathBuf,
    pub(super) version: String,
}

impl Go {
    /// `None` where there is no `go` on the PATH.
    pub(super) fn find(home: &Path) -> Option<Self> {
        let version = Command::new("go").arg("version").output().ok()?;
        let version = String::from_utf8_lossy(&version.stdout);
        // `go version go1.27.3 linux/amd64`
        let version = version.split_whitespace().nth(2)?.to_owned();
        let program = home.join("go-rows");
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/go"))
            // Whatever workspace or flags of its own the caller has.
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .status()
            .expect("go has just run");
        assert!(built.success(), "benches/go does not build");
        Some(Self { program, version })
    }

    /// The figure of `row`, in nanoseconds. `once`: it has to work, and is not measured.
    pub(super) fn measure(&self, row: &str, once: bool) -> Round {
        let out = Command::new(&self.program)
            .args(once.then_some("-once"))
            .arg(row)
            .stderr(Stdio::inherit())
            .output()
            .expect("it has been built");
        assert!(out.status.success(), "Go's row {row} fails");
        let figure: Value = serde_json::from_slice(&out.stdout).expect("it prints JSON");
        let field = |name: &str| figure[name].as_f64().expect("it prints all fields");
        Round {
            median: field("median"),
            low: field("low"),
            high: field("high"),
        }
    }
}
