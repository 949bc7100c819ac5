//! Instructions a request: a server's whole count after twice as many requests, less that after as many. What it takes to
//! start and to end is in both.

use super::Result;
use super::load::one_by_one;
use super::process::Server;
use super::profile::Profile;
use super::route::{ROUTES, Route};
use ripcord_server::Side;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether there is a valgrind.
pub fn valgrind() -> Result<bool> {
    match Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
    {
        Ok(status) => Ok(status.success()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub struct Counter<'a> {
    pub server: &'a Path,
    pub upstream: SocketAddr,
    pub requests: u32,
    /// Where callgrind puts what it finds.
    pub dir: PathBuf,
}

/// One figure each repeat.
#[derive(Default)]
pub struct Counts(HashMap<(Side, &'static str), Vec<f64>>);

impl Counts {
    pub fn of(&self, side: Side, route: &Route) -> &[f64] {
        self.0.get(&(side, route.path)).map_or(&[], Vec::as_slice)
    }
}

impl Counter<'_> {
    pub async fn count(&self, repeats: u32, step: impl Fn(String)) -> Result<Counts> {
        fs::create_dir_all(&self.dir)?;
        let mut counts = Counts::default();
        for _ in 0..repeats {
            for route in &ROUTES {
                for side in Side::ALL {
                    step(format!("callgrind: {side} {}", route.path));
                    let less = self.total(side, route, 1).await?;
                    let more = self.total(side, route, 2).await?;
                    let a_request = (more - less) / f64::from(self.requests);
                    counts
                        .0
                        .entry((side, route.path))
                        .or_default()
                        .push(a_request);
                }
            }
        }
        Ok(counts)
    }

    /// What the last repeat found of each function, a request.
    pub fn profile(&self, side: Side, route: &Route) -> Result<Profile> {
        let less = Profile::read(&self.found(side, route, 1))?;
        let more = Profile::read(&self.found(side, route, 2))?;
        Ok(more.less(&less).divided_by(f64::from(self.requests)))
    }

    async fn total(&self, side: Side, route: &Route, times: u32) -> Result<f64> {
        let found = self.found(side, route, times);
        let _ = fs::remove_file(&found);
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", found.display()))
            .arg(self.server)
            // No worker that wakes or sleeps as it comes.
            .args(["--threads", "1"]);
        let server = Server::start(command, side, self.upstream)?;
        one_by_one(server.addr, route, self.requests * times).await?;
        server.stop()?;
        let text = fs::read_to_string(&found)
            .map_err(|error| format!("callgrind left no {}: {error}", found.display()))?;
        let total = text.lines().rev().find_map(|line| {
            let total = line
                .strip_prefix("totals: ")
                .or(line.strip_prefix("summary: "));
            total?.trim().parse().ok()
        });
        total.ok_or_else(|| format!("there is no total in {}", found.display()).into())
    }

    fn found(&self, side: Side, route: &Route, times: u32) -> PathBuf {
        let route = route.path.trim_start_matches('/');
        let route = route.split('?').next().unwrap_or_default();
        self.dir.join(format!("{route}-{side}-{times}.out"))
    }
}
