//! What a wave brought, as a picture: calls, level, replicas and connections over time.

use std::fmt::Write as _;

use super::Step;
use crate::plan::SurgePlanSpec;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 90.0;
const PANE: f64 = 110.0;
const GAP: f64 = 34.0;
/// Points along the width: the largest value of the steps that fall on each.
const POINTS: usize = 860;

/// Title, largest value, and what is drawn.
type Pane = (String, f64, fn(&Step) -> f64);

/// Draws a play as SVG.
pub fn svg(plan: &SurgePlanSpec, steps: &[Step]) -> String {
    let most = |of: fn(&Step) -> f64| steps.iter().map(of).fold(1.0, f64::max);
    let levels: Vec<&str> = plan.levels.iter().map(|level| level.name.as_str()).collect();
    let ranks = f64::from(u32::try_from(levels.len().max(2) - 1).unwrap_or(1));
    let budget = f64::from(plan.connection_budget);
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    let panes: [Pane; 4] = [
        ("calls a second".to_owned(), most(|step| step.calls), |step| step.calls),
        (format!("level: {}", levels.join(", ")), ranks, |step| step.rank as f64),
        ("replicas".to_owned(), most(replicas), replicas),
        (format!("connections of {budget}"), budget, |step| step.connections as f64),
    ];
    let height = GAP + 4.0 * (PANE + GAP);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<title>A wave played through the surge plan</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (number, (title, top, of)) in panes.into_iter().enumerate() {
        let y = GAP + f64::from(u32::try_from(number).unwrap_or(0)) * (PANE + GAP);
        pane(&mut text, y, &escaped(&title), top, steps, of);
    }
    if let (Some(first), Some(last)) = (steps.first(), steps.last()) {
        let (from, to) = (first.at.date(), last.at.date());
        let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{:.0}\">{from}</text>", height - 8.0);
        let _ =
            writeln!(text, "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{to}</text>", WIDTH - 10.0, height - 8.0);
    }
    text.push_str("</svg>\n");
    text
}

fn replicas(step: &Step) -> f64 {
    f64::from(step.replicas.values().sum::<i32>())
}

fn pane(text: &mut String, y: f64, title: &str, top: f64, steps: &[Step], of: fn(&Step) -> f64) {
    let bottom = y + PANE;
    let right = WIDTH - 10.0;
    let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{:.0}\">{title}</text>", y - 6.0);
    let _ = writeln!(text, "<path d=\"M{LEFT} {y}V{bottom}H{right}\" fill=\"none\" stroke=\"#888\"/>");
    let _ = writeln!(text, "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{top:.0}</text>", LEFT - 6.0, y + 10.0);
    let _ = writeln!(text, "<text x=\"{:.0}\" y=\"{bottom}\" text-anchor=\"end\">0</text>", LEFT - 6.0);
    let mut path = String::new();
    let each = steps.len().div_ceil(POINTS).max(1);
    let points = steps.len().div_ceil(each).max(2) - 1;
    for (number, chunk) in steps.chunks(each).enumerate() {
        let value = chunk.iter().map(of).fold(0.0, f64::max);
        #[expect(clippy::cast_precision_loss, reason = "a picture")]
        let x = LEFT + (right - LEFT) * number as f64 / points as f64;
        let height = bottom - PANE * (value / top).min(1.0);
        let _ = write!(path, "{}{x:.1} {height:.1}", if number == 0 { "M" } else { "L" });
    }
    let _ = writeln!(text, "<path d=\"{path}\" fill=\"none\" stroke=\"#0a5ca8\" stroke-width=\"1.5\"/>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
