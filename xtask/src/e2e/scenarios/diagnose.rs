//! `docs/errors.md`: `diagnose` against our server, two proxies and the original, as its console blocks
//! show it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::command::{terminate, wait};
use crate::e2e::certs::Certs;
use crate::e2e::console;
use crate::e2e::extras;
use crate::e2e::ports::Ports;
use crate::project::{Programs, root};

/// Those that the document shows: ours, nginx's, HAProxy's, the original's.
const PORTS: std::ops::RangeInclusive<u16> = 50051..=50060;
/// The last port that each of the three listens on.
const NGINX: &str = "127.0.0.1:50056";
const HAPROXY: &str = "127.0.0.1:50059";
const NODE: &str = "127.0.0.1:50060";

const PATIENCE: Duration = Duration::from_secs(20);

/// Someone else's server, ended when this is dropped.
struct Other(Child);

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let (mut nginx, mut haproxy) = (extras::nginx()?, extras::haproxy()?);
    let mut node = extras::node("server.js")?;
    let certs = Certs::new("Example CA")?;
    let directory = certs.directory();
    certs.sign_as("server", &["localhost", "127.0.0.1"])?;
    certs.sign_as("client", &["client"])?;
    let both = ["server.pem", "server.key"].map(|file| fs::read_to_string(directory.join(file)));
    let [cert, key] = both;
    fs::write(directory.join("server.both"), cert? + &key?)?;

    let ports = Ports::new(PORTS)?;
    for config in ["nginx.conf", "haproxy.cfg"] {
        let text = fs::read_to_string(root().join("xtask/proxies").join(config))?;
        fs::write(directory.join(config), ports.free(&text))?;
    }
    nginx.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "nginx.log"]);
    haproxy.args(["-db", "-f", "haproxy.cfg"]);
    let _nginx = Other::start(&mut nginx, directory, &ports.free(NGINX))?;
    let _haproxy = Other::start(&mut haproxy, directory, &ports.free(HAPROXY))?;
    let _node = Other::start(node.arg(ports.free(NODE)), directory, &ports.free(NODE))?;
    let commands = console::check("docs/errors.md", directory, &ports, programs)?;
    Ok(format!("{commands} commands"))
}

impl Other {
    /// Starts it in `directory`, and waits until it accepts.
    fn start(command: &mut Command, directory: &Path, address: &str) -> anyhow::Result<Other> {
        command.current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("could not start {command:?}"))?;
        let mut other = Other(child);
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = other.0.try_wait()? {
                anyhow::bail!("{command:?} ended with {status}");
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "{command:?} does not listen on {address}");
            std::thread::yield_now();
        }
        Ok(other)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = terminate(&self.0);
        if wait(&mut self.0, PATIENCE).is_err() {
            let _ = self.0.kill();
        }
    }
}
