//! `hersysctl demo`: plays what the ministry's notice describes (§1(1) ①–⑤), through the gateway only, as the people
//! concerned, and says after each step what each of them now sees.

mod ending;
mod notification;
mod observation;
mod placement;
mod registration;
mod stage;

use std::{path::Path, time::Instant};

use client::Client;
pub use stage::Language;
use stage::Stage;

/// What the acts hand on to each other: the cases.
pub(crate) struct Cases {
    /// Positive, cared for at home.
    home: Patient,
    /// Positive, in lodging; entered by the centre for a clinic without rights.
    lodging: Patient,
    /// Gravely ill: a bed is found before the result is known.
    hospital: Patient,
}

/// A person of the play.
#[derive(Clone, Debug)]
pub(crate) struct Patient {
    case_id: String,
    access_id: String,
    birth_date: String,
    phone: String,
    name: String,
}

/// Plays all acts on the running stack.
///
/// # Errors
/// Says which step was refused, and by whom.
pub async fn play(client: &Client, stack: &Path, language: Language) -> anyhow::Result<()> {
    let started = Instant::now();
    let client = client.clone().speaking(match language {
        Language::Ja => "ja",
        Language::En => "en",
    });
    let mut stage = Stage::open(&client, stack, language).await?;
    let (cases, negative) = registration::play(&mut stage).await?;
    notification::play(&mut stage, &cases, &negative).await?;
    let admission = placement::play(&mut stage, &cases).await?;
    observation::play(&mut stage, &cases, &admission).await?;
    ending::play(&mut stage, &cases).await?;
    let seconds = started.elapsed().as_secs_f64();
    stage.say(
        format_args!("\n以上、{seconds:.0} 秒でした。すべてゲートウェイ経由の実際の操作です。"),
        format_args!("\nThat took {seconds:.0} s. Every step was a real call through the gateway."),
    )
}
