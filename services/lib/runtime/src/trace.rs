//! W3C trace context: one id that follows a request through every process and over the bus.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU32, Ordering},
};

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

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
    /// Who began the trace decides whether it is told (parent-based sampling).
    sampled: bool,
}

/// The share of traces that begin here and are told, in millionths.
static SHARE: AtomicU32 = AtomicU32::new(MILLION);
const MILLION: u32 = 1_000_000;

/// Sets the share of traces that begin here and are told, from 0 to 1.
pub fn sample(share: f64) {
    // Saturates: nothing is told beyond everything, or below nothing.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a million")]
    SHARE.store((share.clamp(0.0, 1.0) * f64::from(MILLION)) as u32, Ordering::Release);
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
        // By the trace's id, as OpenTelemetry's TraceIdRatioBased: whoever looks decides alike.
        let lot = u32::from_be_bytes([trace[12], trace[13], trace[14], trace[15]]) % MILLION;
        Self { trace, span, sampled: lot < SHARE.load(Ordering::Acquire) }
    }

    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version.len() != 2 {
            return None;
        }
        let [flags] = hex::<1>(flags)?;
        let context = Self { trace: hex(trace)?, span: hex(span)?, sampled: flags & 1 == 1 };
        (context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
    }

    /// A position below this one: same trace, new span.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: Self::root().span, ..self }
    }

    /// Whether the trace is told.
    pub fn is_sampled(self) -> bool {
        self.sampled
    }

    /// The same in the SDK's words.
    pub(crate) fn as_span_context(self) -> SpanContext {
        let flags = TraceFlags::NOT_SAMPLED.with_sampled(self.sampled);
        let (trace, span) = (TraceId::from_bytes(self.trace), SpanId::from_bytes(self.span));
        SpanContext::new(trace, span, flags, false, TraceState::NONE)
    }

    /// The id of the whole trace, 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        lower_hex(&self.trace)
    }

    /// The value of a `traceparent` header.
    pub fn header(&self) -> String {
        format!("00-{}-{}-{:02x}", lower_hex(&self.trace), lower_hex(&self.span), u8::from(self.sampled))
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
    fn who_began_a_trace_decides_whether_it_is_told() {
        let told = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";
        for (flags, sampled) in [("01", true), ("00", false), ("03", true), ("02", false)] {
            let context = TraceContext::parse(&format!("{told}{flags}")).unwrap();
            assert_eq!((context.is_sampled(), context.child().is_sampled()), (sampled, sampled), "{flags}");
            assert_eq!(TraceContext::parse(&context.header()).unwrap().is_sampled(), sampled);
        }
        assert!(TraceContext::parse(&format!("{told}0x")).is_none());
    }

    #[test]
    fn a_broken_header_is_no_context() {
        for text in ["", "00-0-0-0", "00-00000000000000000000000000000000-0000000000000000-01", "00-é-é-01"] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }
}
