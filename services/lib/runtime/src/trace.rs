//! W3C trace context: one id that follows a request through every process and over the bus.

use std::fmt::Write as _;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// The name of the header and of the event attribute.
pub const HEADER: &str = "traceparent";

/// A position in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
}

impl TraceContext {
    /// The start of a new trace.
    pub fn root() -> Self {
        let mut random = [0_u8; 24];
        // Without random ids, traces are only harder to tell apart.
        let _ = getrandom::fill(&mut random);
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&random[..16]);
        span.copy_from_slice(&random[16..]);
        Self { trace, span }
    }

    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version.len() != 2 || flags.len() != 2 {
            return None;
        }
        let context = Self { trace: hex(trace)?, span: hex(span)? };
        (context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
    }

    /// A position below this one: same trace, new span.
    #[must_use]
    pub fn child(self) -> Self {
        Self { trace: self.trace, span: Self::root().span }
    }

    /// Trace and span, as OTLP carries them.
    pub(crate) fn bytes(self) -> ([u8; 16], [u8; 8]) {
        (self.trace, self.span)
    }

    /// The id of the whole trace, 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        lower_hex(&self.trace)
    }

    /// The value of a `traceparent` header.
    pub fn header(&self) -> String {
        format!("00-{}-{}-01", lower_hex(&self.trace), lower_hex(&self.span))
    }

    /// Runs work so that [`current`] returns this context.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}

/// The context that the running work was given, or else a new root.
pub fn current() -> TraceContext {
    CURRENT.try_with(|context| *context).unwrap_or_else(|_| TraceContext::root())
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    #[test]
    fn a_header_survives_the_round_trip() {
        let context = TraceContext::root();
        assert_eq!(TraceContext::parse(&context.header()), Some(context));
        assert_eq!(context.child().trace_id(), context.trace_id());
    }

    #[test]
    fn a_broken_header_is_no_context() {
        for text in ["", "00-0-0-0", "00-00000000000000000000000000000000-0000000000000000-01", "00-é-é-01"] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }
}
