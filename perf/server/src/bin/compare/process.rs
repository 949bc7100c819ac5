//! A server in a process of its own.

use super::Result;
use ripcord_server::Side;
use std::env;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct Server {
    pub addr: SocketAddr,
    process: Child,
}

impl Server {
    /// `command` starts it; what it needs beside `--with` and `--upstream` is there already.
    pub fn start(mut command: Command, side: Side, upstream: SocketAddr) -> Result<Self> {
        command
            .args(["--with", side.name(), "--upstream", &upstream.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command
            .spawn()
            .map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let addr = line.trim_end().rsplit(' ').next().unwrap_or_default();
        match addr.parse() {
            Ok(addr) => Ok(Self { addr, process }),
            Err(_) => {
                let _ = process.kill();
                let status = process.wait()?;
                Err(format!("{command:?} does not listen, {status}; it said {line:?}").into())
            }
        }
    }

    /// It ends by itself once its stdin is closed.
    pub fn stop(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        if !status.success() {
            return Err(format!("the server ended with {status}").into());
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already, unless something failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The one beside this binary, made anew: `cargo run` makes only what it runs.
pub fn build() -> Result<PathBuf> {
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--bin", "server", "--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(io::stderr())
        .status()
        .map_err(|error| format!("cannot build the server: cargo: {error}"))?;
    if !status.success() {
        return Err("the server cannot be built".into());
    }
    let built = env::current_exe()?.with_file_name(format!("server{}", env::consts::EXE_SUFFIX));
    found(&built)?;
    Ok(built)
}

/// # Errors
///
/// It is not a file.
pub fn found(server: &Path) -> Result<()> {
    if server.is_file() {
        return Ok(());
    }
    Err(format!("there is no server at {}", server.display()).into())
}
