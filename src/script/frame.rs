//! How scripts answer: frames in a stream that may hold anything else as well (banners, `echo` in
//! somebody's profile). A frame is a line `@NONCE KIND NAME`, its body, and a line `@NONCE .`; the
//! nonce is random for every run, so no body can hold it.

use std::fmt;

/// Longest body that is kept; a probe answers with small files and a few lines each.
const BODY_BYTES_MAX: usize = 4 << 20;
/// How much is kept of what a host says outside of frames before the first one: a greeting, or why it gives no
/// shell.
const NOISE_BYTES_KEPT: usize = 1024;
/// Longest line that can open a frame.
const HEADER_BYTES_MAX: usize = 4096;

/// What kind of answer a frame is: its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Fact,
    /// A step begins, has ended well, or has failed.
    Begin,
    End,
    Fail,
    /// Of the operator lock.
    Lock,
    /// Of the script as a whole: that it lives, that it came to its end.
    Live,
    /// A piece of a backup, and what was said about the whole.
    Piece,
    Backup,
    /// Of no script of this version.
    Unknown,
}

impl Kind {
    fn of(word: &str) -> Self {
        match word {
            "fact" => Self::Fact,
            "begin" => Self::Begin,
            "end" => Self::End,
            "fail" => Self::Fail,
            "lock" => Self::Lock,
            "live" => Self::Live,
            "piece" => Self::Piece,
            "backup" => Self::Backup,
            _ => Self::Unknown,
        }
    }
}

/// A step that failed, as `zk_conclude` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFailure {
    pub step: String,
    pub status: i32,
    pub output: String,
}

impl StepFailure {
    pub fn of(frame: &Frame) -> Option<Self> {
        if frame.kind != Kind::Fail {
            return None;
        }
        let text = frame.text();
        let (status, output) = text.split_once('\n').unwrap_or((text.as_str(), ""));
        let (status, output) = (status.trim().parse().unwrap_or(1), output.trim().to_owned());
        Some(Self { step: frame.name.clone(), status, output })
    }

    /// What the step printed, indented as a failure's further lines are.
    pub fn said(&self) -> String {
        self.output.replace('\n', "\n    ")
    }
}

/// The first step that failed.
pub fn failed(frames: &[Frame]) -> Option<StepFailure> {
    frames.iter().find_map(StepFailure::of)
}

/// One answer of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    /// What it is about.
    pub name: String,
    pub body: Vec<u8>,
}

impl Frame {
    /// The body as text; bytes that are none become replacement characters.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A stream that breaks the grammar in a way that cannot be read around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameError(String);

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Picks the frames out of a stream that arrives in pieces.
#[derive(Debug)]
pub struct Frames {
    /// `@NONCE `: what each frame's first and last line begin with.
    mark: Vec<u8>,
    buffer: Vec<u8>,
    /// The frame whose body is being collected.
    open: Option<(Kind, String)>,
    /// What came before the first frame.
    noise: Vec<u8>,
    /// A frame has begun.
    heard: bool,
    /// Where in the buffer the search goes on; nothing before it can begin a mark.
    searched: usize,
}

impl Frames {
    pub fn new(nonce: &str) -> Self {
        // The stream's beginning counts as the end of a line.
        Self {
            mark: format!("\n@{nonce} ").into_bytes(),
            buffer: vec![b'\n'],
            open: None,
            noise: Vec::new(),
            heard: false,
            searched: 0,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame, if it has arrived.
    pub fn pop(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let Some(start) = find(&self.buffer[self.searched..], &self.mark) else {
                self.keep_tail()?;
                return Ok(None);
            };
            let start = start + self.searched;
            let rest = &self.buffer[start + self.mark.len()..];
            let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
                if rest.len() > HEADER_BYTES_MAX {
                    return Err(FrameError("a frame's first line does not end".into()));
                }
                self.searched = start;
                return Ok(None);
            };
            let header = String::from_utf8_lossy(&rest[..end]).into_owned();
            // The newline that ends this line may begin the next mark.
            let after = start + self.mark.len() + end;
            if header == "." {
                let Some((kind, name)) = self.open.take() else {
                    return Err(FrameError("a frame ends that never began".into()));
                };
                let body = self.buffer[..start].to_vec();
                self.buffer.drain(..after);
                self.searched = 0;
                return Ok(Some(Frame { kind, name, body }));
            }
            let (kind, name) = header.split_once(' ').unwrap_or((header.as_str(), ""));
            self.open = Some((Kind::of(kind), name.to_owned()));
            self.heard = true;
            // The body begins behind the newline.
            self.buffer.drain(..=after);
            self.searched = 0;
            // An empty body is `\n` at once followed by the closing mark, which needs that newline.
        }
    }

    /// What a host has said that gave no frame at all; empty where it gave one.
    pub fn noise(&self) -> String {
        if self.heard {
            return String::new();
        }
        let all = self.noise.iter().chain(&self.buffer).copied();
        let all: Vec<u8> = all.take(NOISE_BYTES_KEPT).collect();
        String::from_utf8_lossy(&all).trim().to_owned()
    }

    /// What lies outside frames is dropped as it comes; a body is kept up to its limit.
    fn keep_tail(&mut self) -> Result<(), FrameError> {
        let tail = self.mark.len() - 1;
        let settled = self.buffer.len().saturating_sub(tail);
        match &self.open {
            None => {
                let room = NOISE_BYTES_KEPT.saturating_sub(self.noise.len());
                self.noise.extend(self.buffer.drain(..settled).take(room));
                self.searched = 0;
            }
            Some((_, name)) if self.buffer.len() > BODY_BYTES_MAX => {
                return Err(FrameError(format!(
                    "the answer about `{name}` is longer than {BODY_BYTES_MAX} bytes"
                )));
            }
            Some(_) => self.searched = settled,
        }
        Ok(())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in pieces of every size; the frames must not depend on them.
    fn frames(stream: &str) -> Vec<(Kind, String, String)> {
        let read = |piece: usize| {
            let mut frames = Frames::new("n0");
            let mut found = Vec::new();
            for chunk in stream.as_bytes().chunks(piece) {
                frames.push(chunk);
                while let Some(frame) = frames.pop().expect("a readable stream") {
                    found.push((frame.kind, frame.name.clone(), frame.text()));
                }
            }
            found
        };
        let whole = read(stream.len());
        for piece in 1..stream.len() {
            assert_eq!(read(piece), whole, "pieces of {piece} bytes");
        }
        whole
    }

    fn frame(kind: &str, name: &str, body: &str) -> (Kind, String, String) {
        (Kind::of(kind), name.into(), body.into())
    }

    #[test]
    fn banners_and_other_noise_are_read_around() {
        let stream = "Welcome!\n@other fact x\nno newline at the end\
                      \n@n0 fact a file\nline\n\n@n0 .\nnoise\n@n0 done b\n\n@n0 .\n";
        assert_eq!(
            frames(stream),
            [frame("fact", "a file", "line\n"), frame("done", "b", "")],
            "a body keeps its own last newline, and may be empty"
        );
    }

    #[test]
    fn the_first_byte_may_begin_a_frame_and_a_cut_one_is_not_reported() {
        assert_eq!(frames("@n0 fact a\n1\n@n0 .\n\n@n0 fact b\n2"), [frame("fact", "a", "1")]);
    }

    #[test]
    fn what_a_host_says_instead_of_answering_is_kept() {
        let mut frames = Frames::new("n0");
        frames.push(b"This account is currently not available.\n");
        assert_eq!(frames.pop(), Ok(None));
        assert_eq!(frames.noise(), "This account is currently not available.");
        frames.push(&vec![b'x'; 100_000]);
        assert_eq!(frames.pop(), Ok(None));
        assert_eq!(frames.noise().len(), NOISE_BYTES_KEPT - 1, "its first end of a line is ours");
        frames.push(b"\n@n0 fact a\n1\n@n0 .\n");
        assert!(frames.pop().expect("a readable stream").is_some());
        assert_eq!(frames.noise(), "", "what greets and then answers has nothing to explain");
    }

    #[test]
    fn endless_bodies_are_refused_and_endless_noise_is_not_kept() {
        let mut endless = Frames::new("n0");
        endless.push(&vec![b'x'; BODY_BYTES_MAX + 100]);
        assert_eq!(endless.pop(), Ok(None));
        assert!(endless.buffer.len() < 100);
        endless.push(b"\n@n0 fact big\n");
        endless.push(&vec![b'x'; BODY_BYTES_MAX + 1]);
        assert!(endless.pop().is_err());
    }
}
