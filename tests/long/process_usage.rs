//! The threads, files, memory and processor time of this process.

use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use gst::glib;
use gst::glib::translate::IntoGlib;
use malloc_info::info::{System, SystemType, TotalType};
use malloc_info::malloc_info;

/// Longer than the life of an idle thread in GLib's pools (15 s).
const POOL_IDLE: Duration = Duration::from_secs(16);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Allowed growth of memory above a baseline, in kB.
pub const GROWTH: i64 = 2 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub threads: usize,
    pub files: usize,
    /// Resident memory in kB.
    pub memory: u64,
    /// The part of it that malloc has given out, in kB. The rest stays resident
    /// after a peak: malloc returns only what is free at its heap's end.
    pub allocated: u64,
    /// The number of GLib's quarks: names, which it keeps for good.
    pub quarks: u64,
}

impl Usage {
    pub fn now() -> Self {
        Self {
            threads: entries("/proc/self/task"),
            // Without the descriptor that lists them.
            files: entries("/proc/self/fd") - 1,
            memory: status("VmRSS:"),
            allocated: allocated(),
            quarks: quarks(),
        }
    }

    /// What malloc has given out but for quarks, in kB. webrtcbin makes new ones with each
    /// session: its statistics have fields named by SSRC.
    ///
    /// A quark takes about 80 bytes. And for each 2048 quarks GLib makes a new array of all,
    /// and never frees the old one, since it may be in use (`g_quark_new`).
    pub fn allocated_beside_quarks(&self) -> u64 {
        let arrays = self.quarks * self.quarks / 2048 / 2 * 8;
        self.allocated
            .saturating_sub((self.quarks * 80 + arrays) / 1024)
    }

    /// The lower one of each value.
    pub fn min(&self, other: &Self) -> Self {
        Self {
            threads: self.threads.min(other.threads),
            files: self.files.min(other.files),
            memory: self.memory.min(other.memory),
            allocated: self.allocated.min(other.allocated),
            quarks: self.quarks.min(other.quarks),
        }
    }

    /// The values once threads and files have not changed for [`POOL_IDLE`], so
    /// that no idle pool thread is counted.
    pub fn settled() -> Self {
        let mut last = Self::now();
        let mut since = Instant::now();
        while since.elapsed() < POOL_IDLE {
            sleep(LOOK_AGAIN);
            let now = Self::now();
            if (now.threads, now.files) != (last.threads, last.files) {
                since = Instant::now();
            }
            last = now;
        }
        last
    }

    /// Waits until threads and files are back at this baseline, and returns the
    /// growth of memory in kB.
    pub fn come_back(&self) -> i64 {
        let start = Instant::now();
        loop {
            let now = Self::now();
            if now.threads <= self.threads && now.files <= self.files {
                return now.memory.cast_signed() - self.memory.cast_signed();
            }
            assert!(
                start.elapsed() < 2 * POOL_IDLE,
                "not back at {self}: {now}, {}",
                held()
            );
            sleep(LOOK_AGAIN);
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            threads,
            files,
            memory,
            allocated,
            quarks,
        } = self;
        write!(
            f,
            "{threads} threads, {files} files, {memory} kB resident, {allocated} kB allocated, \
             {quarks} quarks"
        )
    }
}

/// Processor time that this process has used so far.
pub fn cpu_time() -> Duration {
    /// Constant in Linux's interface to programs, whatever the kernel uses.
    const TICKS_A_SECOND: u64 = 100;
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The process name comes first, in parentheses, and may contain spaces.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<u64>().unwrap();
    let (user, system) = (ticks(11), ticks(12));
    Duration::from_millis((user + system) * 1000 / TICKS_A_SECOND)
}

/// The names of the threads and files.
pub fn held() -> String {
    format!("threads {:?}, files {:?}", thread_names(), open_files())
}

fn entries(directory: &str) -> usize {
    fs::read_dir(directory).unwrap().count()
}

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let amount = line.unwrap().split_whitespace().next().unwrap();
    amount.parse().unwrap()
}

fn allocated() -> u64 {
    let heap = malloc_info().unwrap();
    let current = |system: &&System| system.r#type == SystemType::Current;
    let system = heap.system.iter().find(current).unwrap().size;
    let sum = |is: fn(&TotalType) -> bool| {
        let parts = heap.total.iter().filter(|part| is(&part.r#type));
        parts.map(|part| part.size).sum::<usize>()
    };
    let free = sum(|part| matches!(part, TotalType::Fast | TotalType::Rest));
    let mapped = sum(|part| *part == TotalType::Mmap);
    (system + mapped - free) as u64 / 1024
}

/// The number of a new quark. They are numbered from 1.
fn quarks() -> u64 {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    glib::Quark::from_str(format!("ivswhipsink-test-{made}"))
        .into_glib()
        .into()
}

fn thread_names() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

fn open_files() -> Vec<String> {
    let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    targets.map(|target| target.display().to_string()).collect()
}
