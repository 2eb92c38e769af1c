//! A wire with a rate: a network namespace for the stage, and a virtual Ethernet to it.
//! It needs root.

use std::path::Path;
use std::process::Command;

/// Goes when it is dropped. That of a killed test goes when the next one begins.
#[derive(Debug)]
pub struct Wire {
    namespace: String,
    device: String,
    far: String,
}

impl Wire {
    /// The error says what this user, or this machine, can't do.
    pub fn new() -> Result<Self, String> {
        remove_stale()?;
        let process = std::process::id();
        // Apart for each process, as well as this can be.
        let [third, fourth] = [process / 64 % 256, process % 64 * 4];
        let wire = Self {
            namespace: format!("soak-{process}"),
            device: format!("soak{process}"),
            far: format!("10.78.{third}.{}", fourth + 2),
        };
        let (namespace, device) = (&wire.namespace, &wire.device);
        let near = format!("10.78.{third}.{}/30", fourth + 1);
        let far = format!("{}/30", wire.far);
        run(&format!("ip netns add {namespace}"))?;
        for line in [
            format!("ip link add {device} type veth peer name wire netns {namespace}"),
            format!("ip address add {near} dev {device}"),
            format!("ip -netns {namespace} address add {far} dev wire"),
            format!("ip link set {device} up"),
            format!("ip -netns {namespace} link set wire up"),
            format!("ip -netns {namespace} link set lo up"),
        ] {
            run(&line)?;
        }
        // Does this kernel know the queue?
        wire.limit(1000)?;
        wire.free();
        Ok(wire)
    }

    /// Address of the far end.
    pub fn far(&self) -> &str {
        &self.far
    }

    /// A program that runs at the far end.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]);
        command.arg(program);
        command
    }

    /// Lets this many kbit/s pass to the far end.
    pub fn limit(&self, rate: usize) -> Result<(), String> {
        let device = &self.device;
        run(&format!(
            "tc qdisc replace dev {device} root tbf rate {rate}kbit burst 10kb latency 200ms"
        ))
        .map(drop)
    }

    /// Ends the limit.
    pub fn free(&self) {
        run(&format!("tc qdisc del dev {} root", self.device)).unwrap();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // The device goes with the namespace.
        let _ = run(&format!("ip netns del {}", self.namespace));
    }
}

fn remove_stale() -> Result<(), String> {
    for line in run("ip netns list")?.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let process = name.strip_prefix("soak-");
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            run(&format!("ip netns del {name}"))?;
        }
    }
    Ok(())
}

/// Returns what the command prints.
fn run(line: &str) -> Result<String, String> {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap_or_default())
        .args(words)
        .output()
        .map_err(|error| format!("{line}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{line}: {}", said.trim_end()))
}
