//! One HTTP answer at a time, judged by its headers before its bytes are taken.

use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Client, Response, StatusCode};

use crate::artifacts::fetch::{Event, Expected, Partial, Trouble, plausible};
use crate::failure::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a source may be silent before the next one is asked.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);
const REDIRECTS_MAX: usize = 5;

/// Why a download ended before its end.
#[derive(Debug)]
pub enum Cut {
    /// This source will not do.
    Useless(String),
    /// The connection broke; what came may be used.
    Broken(String),
    /// What is here does not go with what the source has: begin anew.
    Restart,
    Here(Failure),
}

impl From<Trouble> for Cut {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Source(why) => Self::Useless(why),
            Trouble::Here(failure) => Self::Here(failure),
        }
    }
}

/// A short text, such as a checksum file.
pub async fn text(url: &str, bytes_max: usize) -> Result<String, String> {
    let request = client()?.get(url);
    let mut response = request.send().await.map_err(|error| explain(&error))?;
    if response.status() != StatusCode::OK {
        return Err(format!("the server says {}", response.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > bytes_max {
            return Err(format!("it is longer than {bytes_max} bytes"));
        }
    }
    String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())
}

/// Appends what `partial` lacks. A source that ignores the range is read from its beginning.
///
/// No `If-Range` is sent: the bytes are named by the digest of the whole, not by one server's tag, so
/// that a transfer can be resumed from another mirror; a mixture does not pass the digest.
pub async fn download(
    url: &str,
    expected: &Expected,
    partial: &mut Partial,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Cut> {
    let at = partial.bytes;
    if expected.bytes.is_some_and(|bytes| at >= bytes) {
        return Err(Cut::Restart);
    }
    let mut request = client().map_err(Cut::Useless)?.get(url).header(ACCEPT_ENCODING, "identity");
    if at > 0 {
        request = request.header(RANGE, format!("bytes={at}-"));
    }
    let mut response = request.send().await.map_err(|error| Cut::Useless(explain(&error)))?;
    let total = match response.status() {
        StatusCode::OK => {
            refuse_page(&response)?;
            if at > 0 {
                partial.restart().await?;
            }
            response.content_length()
        }
        StatusCode::PARTIAL_CONTENT if at > 0 => {
            refuse_page(&response)?;
            let (from, total) = content_range(&response).ok_or(Cut::Restart)?;
            if from != at {
                return Err(Cut::Restart);
            }
            total
        }
        StatusCode::RANGE_NOT_SATISFIABLE if at > 0 => return Err(Cut::Restart),
        status => return Err(Cut::Useless(format!("the server says {status}"))),
    };
    plausible(total, expected)?;
    tell(Event::Begins { at: partial.bytes, total });
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                partial.append(&chunk).await?;
                tell(Event::Progress { at: partial.bytes });
            }
            Ok(None) => break,
            Err(error) => return Err(Cut::Broken(explain(&error))),
        }
    }
    match total {
        Some(total) if partial.bytes < total => {
            Err(Cut::Broken(format!("it ended {} bytes too early", total - partial.bytes)))
        }
        _ => Ok(()),
    }
}

fn client() -> Result<Client, String> {
    Client::builder()
        .user_agent(concat!("zkprov/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
        .build()
        .map_err(|error| explain(&error))
}

/// Mirrors that have lost a release like to answer with a page that says so, and 200.
fn refuse_page(response: &Response) -> Result<(), Cut> {
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    if kind.starts_with("text/") {
        return Err(Cut::Useless(format!("the server answers with a page ({kind})")));
    }
    Ok(())
}

/// First byte and total of `bytes 100-199/200`.
fn content_range(response: &Response) -> Option<(u64, Option<u64>)> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (span, total) = range.split_once('/')?;
    let from = span.split_once('-')?.0.parse().ok()?;
    Some((from, total.parse().ok()))
}

/// The innermost cause is what a person can use; the URL is said by the caller.
fn explain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it does not answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
