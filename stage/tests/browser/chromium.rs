//! Drives Chromium over the DevTools protocol. Its pipe needs no websocket:
//! messages are JSON with a zero byte after each. The browser ends with the pipe.
//! The environment variable `CHROMIUM` names another program than `chromium`.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// How long a page may take for what it must do.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// The pipe's ends are descriptors 3 and 4.
const SCRIPT: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >&2"#;

const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
];

/// Lets a test see the connections of a page.
const REMEMBER_PEERS: &str = "window.peers = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...all) { super(...all); window.peers.push(this); }
    };";

pub(crate) struct Browser {
    child: Child,
    commands: Option<ChildStdin>,
    messages: Receiver<Value>,
    last_id: u64,
    /// What pages complained about: exceptions, and errors in their logs.
    pub(crate) complaints: Vec<String>,
    profile: PathBuf,
}

/// A page in the browser.
pub(crate) struct Tab(String);

impl Browser {
    pub(crate) fn start(name: &str) -> Self {
        let profile = format!("ivs-stage-browser-{}-{name}", std::process::id());
        let profile = std::env::temp_dir().join(profile);
        let program = std::env::var("CHROMIUM").unwrap_or("chromium".into());
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "sh", program.as_str()])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (send, messages) = channel();
        let pipe = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for message in pipe.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).unwrap();
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        Self {
            commands: child.stdin.take(),
            child,
            messages,
            last_id: 0,
            complaints: Vec::new(),
            profile,
        }
    }

    /// Opens a page. Its connections are in `window.peers`.
    pub(crate) fn open(&mut self, url: &str) -> Tab {
        let target = self.call(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call(None, "Target.attachToTarget", attach);
        let tab = Tab(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.call(Some(&tab), domain, json!({}));
        }
        let script = json!({ "source": REMEMBER_PEERS });
        self.call(Some(&tab), "Page.addScriptToEvaluateOnNewDocument", script);
        self.call(Some(&tab), "Page.navigate", json!({ "url": url }));
        self.wait_for(
            &tab,
            "document.readyState === 'complete' && location.href !== 'about:blank'",
        );
        tab
    }

    /// The value of an expression, after its promise.
    pub(crate) fn evaluate(&mut self, tab: &Tab, expression: &str) -> Value {
        let parameters = json!({
            "expression": expression,
            "awaitPromise": true,
            "returnByValue": true,
        });
        let result = self.call(Some(tab), "Runtime.evaluate", parameters);
        assert!(
            result.get("exceptionDetails").is_none(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true, or is another value of use.
    pub(crate) fn wait_for(&mut self, tab: &Tab, expression: &str) -> Value {
        let bound = BOUND.as_millis();
        let look = format!(
            "new Promise((resolve, reject) => {{
                const end = Date.now() + {bound};
                const look = async () => {{
                    const found = await ({expression});
                    if (found) resolve(found);
                    else if (Date.now() > end) reject(new Error(document.body.innerText));
                    else setTimeout(look, 50);
                }};
                look();
            }})"
        );
        self.evaluate(tab, &look)
    }

    fn call(&mut self, tab: Option<&Tab>, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(Tab(session)) = tab {
            message["sessionId"] = json!(session);
        }
        let commands = self.commands.as_mut().unwrap();
        commands.write_all(message.to_string().as_bytes()).unwrap();
        commands.write_all(&[0]).unwrap();
        loop {
            let mut reply = self.messages.recv_timeout(BOUND * 2).expect(method);
            self.note(&reply);
            if reply["id"] == self.last_id {
                assert!(reply.get("error").is_none(), "{method}: {reply}");
                return reply["result"].take();
            }
        }
    }

    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        let complaint = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => &parameters["exceptionDetails"],
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                &parameters["entry"]
            }
            _ => return,
        };
        self.complaints.push(complaint.to_string());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
