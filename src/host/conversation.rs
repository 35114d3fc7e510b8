//! One script on one login: sends it and its payloads, hears its frames, until the host has closed its
//! output.

use std::io::Read as _;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::failure::Failure;
use crate::script::frame::{Frame, Frames};

/// How much of a host's stderr is kept for a failure's text.
const STDERR_BYTES_KEPT: usize = 4096;
/// One piece of a payload on its way from disk to host: all that the controller keeps of it.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes that follow a script on its stdin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    pub path: PathBuf,
    /// What the script was told to read; a file of another size is a failure before it is sent.
    pub bytes: u64,
}

/// What a script did until it ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status of the remote shell; `None` when it was killed or the connection was lost.
    pub status: Option<i32>,
    /// The last bytes of its stderr.
    pub stderr: String,
    /// Why sending stopped early, when it did.
    pub unsent: Option<Unsent>,
}

/// Why a script's payloads were not sent to their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// By Ctrl-C.
    Stopped,
    /// The operator lock was not granted.
    NotGranted,
    /// A payload on this machine cannot be read, or has changed; the text says which and why.
    Unreadable(String),
    /// The host ended first, or the connection was lost.
    Lost,
}

/// Told by Ctrl-C: no further step shall begin.
pub(super) type Stop = tokio::sync::watch::Receiver<bool>;

/// The word to go on, for a script that waits for it: `None` until it is decided.
pub(super) type Go = tokio::sync::watch::Receiver<Option<bool>>;

/// What the caller hears while a script runs.
#[derive(Debug)]
pub enum Event {
    Frame(Frame),
    /// Bytes of payload sent so far.
    Sent(u64),
}

/// Sends a script as packed and `payloads`, hears frames, until the far side has closed its output.
///
/// Stdin stays open until then: its end tells the far side that the controller is gone. When sending
/// fails, it is closed at once, for the same reason.
pub(super) async fn converse(
    (nonce, packed): (&str, &[u8]),
    payloads: &[Payload],
    (stdin, mut stdout, mut stderr): (
        impl AsyncWrite + AsFd + Unpin,
        impl AsyncRead + Unpin,
        impl AsyncRead + Unpin,
    ),
    go: Option<Go>,
    mut stop: Stop,
    mut hear: impl FnMut(Event),
) -> Result<(Option<Unsent>, String), Failure> {
    let (progress, mut sent) = tokio::sync::mpsc::channel::<u64>(4);
    // A wider pipe is filled and emptied in fewer turns; one of the usual size does as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&stdin, PIECE_BYTES);
    let send = async {
        let mut stdin = stdin;
        match send(packed, go, payloads, &mut stdin, progress).await {
            Ok(()) => (Some(stdin), None),
            Err(error) => (None, Some(error)),
        }
    };
    let mut frames = Frames::new(nonce);
    let receive = async {
        let mut piece = vec![0; 32 << 10];
        let mut sending = true;
        loop {
            tokio::select! {
                read = stdout.read(&mut piece) => match read {
                    Ok(0) | Err(_) => return Ok(frames.noise()),
                    Ok(count) => {
                        frames.push(&piece[..count]);
                        while let Some(frame) =
                            frames.pop().map_err(|error| Failure::failed(error.to_string()))?
                        {
                            hear(Event::Frame(frame));
                        }
                    }
                },
                bytes = sent.recv(), if sending => match bytes {
                    Some(bytes) => hear(Event::Sent(bytes)),
                    None => sending = false,
                },
            }
        }
    };
    let listen = async {
        let mut kept = Vec::new();
        let mut piece = [0; 1024];
        while let Ok(count @ 1..) = stderr.read(&mut piece).await {
            kept.extend_from_slice(&piece[..count]);
            let excess = kept.len().saturating_sub(STDERR_BYTES_KEPT);
            kept.drain(..excess);
        }
        String::from_utf8_lossy(&kept).trim().to_owned()
    };
    let mut send = Some(Box::pin(send));
    let both = async { tokio::join!(receive, listen) };
    tokio::pin!(both);
    // Holds stdin open until the far side has ended.
    let mut sender = None;
    let mut stoppable = true;
    let (received, stderr) = loop {
        tokio::select! {
            ended = &mut both => break ended,
            done = async { send.as_mut().expect("checked").await }, if send.is_some() => {
                sender = Some(done);
                send = None;
            }
            told = stop.wait_for(|stop| *stop), if stoppable => {
                stoppable = false;
                if told.is_ok() {
                    send = None;
                    sender = Some((None, Some(Unsent::Stopped)));
                }
            }
        }
    };
    let noise = received?;
    // Who gives no shell says why on whichever stream is at hand.
    let stderr = match (noise.is_empty(), stderr.is_empty()) {
        (true, _) => stderr,
        (false, true) => noise,
        (false, false) => format!("{noise}\n{stderr}"),
    };
    let unsent = match sender {
        Some((_, outcome)) => outcome,
        None => Some(Unsent::Lost),
    };
    Ok((unsent, stderr))
}

async fn send(
    script: &[u8],
    go: Option<Go>,
    payloads: &[Payload],
    stdin: &mut (impl AsyncWrite + Unpin),
    progress: tokio::sync::mpsc::Sender<u64>,
) -> Result<(), Unsent> {
    let lost = |_| Unsent::Lost;
    stdin.write_all(script).await.map_err(lost)?;
    stdin.flush().await.map_err(lost)?;
    if let Some(mut go) = go {
        let decided =
            go.wait_for(Option::is_some).await.is_ok_and(|decided| *decided == Some(true));
        if !decided {
            return Err(Unsent::NotGranted);
        }
        stdin.write_all(b"go\n").await.map_err(lost)?;
        stdin.flush().await.map_err(lost)?;
    }
    let mut total = 0;
    let mut piece = Vec::new();
    for payload in payloads {
        let name = payload.path.display();
        let unreadable =
            |error: std::io::Error| Unsent::Unreadable(format!("cannot read `{name}`: {error}"));
        // Read here and not by another thread: what was verified a moment ago is in the page cache,
        // and handing a piece over costs more than reading it.
        let mut file = std::fs::File::open(&payload.path).map_err(unreadable)?;
        piece.resize(PIECE_BYTES, 0);
        let mut left = payload.bytes;
        while left > 0 {
            let want = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            let count = file.read(&mut piece[..want]).map_err(unreadable)?;
            if count == 0 {
                return Err(Unsent::Unreadable(format!(
                    "`{name}` has become {left} bytes shorter"
                )));
            }
            stdin.write_all(&piece[..count]).await.map_err(lost)?;
            left -= count as u64;
            total += count as u64;
            // Progress is for the eye: a full channel loses a number, never a byte.
            let _ = progress.try_send(total);
        }
    }
    stdin.flush().await.map_err(lost)
}

/// How long a script may take before the controller gives up; the script's own guard is a little
/// shorter and names the step.
pub(super) fn patience(deadline: Duration) -> Duration {
    deadline + Duration::from_secs(15)
}
