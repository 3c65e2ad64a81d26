//! The printable slip of an ID (A4, PDF): log-in, secret for the first sign-in, the address as text and QR code.

use chassis::Error;
use fast_qr::QRBuilder;
use krilla::{
    Document,
    geom::{PathBuilder, Point, Rect},
    page::PageSettings,
    surface::Surface,
    text::{Font, TextDirection},
};
use runtime::{clock::JAPAN, problem::why};
use time::{OffsetDateTime, macros::format_description};

use super::model::Made;
use crate::{service::Identity, settings::Post};

/// A4 in points.
const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
const LEFT: f32 = 70.0;
/// Side of the QR code.
const SIDE: f32 = 130.0;

/// What a slip says.
pub(super) struct Slip {
    login: String,
    holder: String,
    initial_secret: String,
    expires_at: OffsetDateTime,
}

impl Slip {
    pub(super) fn new(login: &str, holder: &str, made: &Made) -> Self {
        Self {
            login: login.to_owned(),
            holder: holder.to_owned(),
            initial_secret: made.initial_secret.clone(),
            expires_at: made.expires_at,
        }
    }
}

/// Slips, one page each. Drawn beside the threads that answer calls: a thousand pages take their time.
pub(super) async fn pages(identity: &Identity, slips: Vec<Slip>) -> Result<Vec<u8>, Error> {
    let post = std::sync::Arc::clone(&identity.post);
    tokio::task::spawn_blocking(move || drawn(&post, &slips))
        .await
        .map_err(|error| Error::Internal(anyhow::anyhow!("draw the slips: {error}")))?
}

fn drawn(post: &Post, slips: &[Slip]) -> Result<Vec<u8>, Error> {
    let font = post.font.as_ref().and_then(|file| std::fs::read(file).ok()).and_then(|data| Font::new(data.into(), 0));
    let Some(font) = font else {
        return Err(Error::Precondition(why(
            "NO_FONT",
            "通知書の書体が設定されていません（HERSYS_FONT）。",
            "No font for slips is set up (HERSYS_FONT).",
        )));
    };
    let mut document = Document::new();
    for slip in slips {
        draw(&mut document, &font, slip, &post.address).map_err(Error::Internal)?;
    }
    document.finish().map_err(|error| Error::Internal(anyhow::anyhow!("write the slips: {error:?}")))
}

fn draw(document: &mut Document, font: &Font, slip: &Slip, address: &str) -> anyhow::Result<()> {
    let size = PageSettings::from_wh(WIDTH, HEIGHT).ok_or_else(|| anyhow::anyhow!("A4 is a page"))?;
    let mut page = document.start_page_with(size);
    let mut surface = page.surface();
    let line = |surface: &mut Surface<'_>, y: f32, size: f32, text: &str| {
        surface.draw_text(Point::from_xy(LEFT, y), font.clone(), size, text, false, TextDirection::Auto);
    };
    line(&mut surface, 90.0, 20.0, "システム利用ID 発行通知書");
    let until = slip.expires_at.to_offset(JAPAN);
    let until = until.format(format_description!("[year]年[month]月[day]日 [hour]時[minute]分"))?;
    let rows = [
        ("利用者", if slip.holder.is_empty() { "—" } else { &slip.holder }),
        ("ログインID", &slip.login),
        ("初回パスワード", &slip.initial_secret),
        ("有効期限", &until),
        ("アドレス", address),
    ];
    let mut y = 140.0;
    for (label, value) in rows {
        line(&mut surface, y, 10.0, label);
        line(&mut surface, y + 18.0, 13.0, value);
        y += 46.0;
    }
    for note in [
        "・初回パスワードは一度だけ使えます。最初のサインインで、ご自身のパスワードを決め、",
        "　認証アプリ（ワンタイムパスワード）を登録してください。",
        "・この用紙だけではサインインできなくなります。登録が済んだら裁断して廃棄してください。",
        "・IDは本人・本業務に限り使えます。他の人に渡さないでください。",
        "・紛失、漏えいのおそれがあるときは、すぐに発行者へ連絡してください。",
    ] {
        line(&mut surface, y + 10.0, 10.0, note);
        y += 18.0;
    }
    qr(&mut surface, address, LEFT, y + 24.0)?;
    surface.finish();
    page.finish();
    Ok(())
}

/// The address as a QR code, drawn as squares.
fn qr(surface: &mut Surface<'_>, text: &str, left: f32, top: f32) -> anyhow::Result<()> {
    let code = QRBuilder::new(text).build().map_err(|error| anyhow::anyhow!("draw the QR code: {error:?}"))?;
    #[expect(clippy::cast_precision_loss, reason = "a QR code has at most 177 modules a side")]
    let step = SIDE / code.size as f32;
    let mut path = PathBuilder::new();
    for row in 0..code.size {
        for (column, module) in code[row].iter().take(code.size).enumerate() {
            if module.value() {
                #[expect(clippy::cast_precision_loss, reason = "a QR code has at most 177 modules a side")]
                let (x, y) = (left + column as f32 * step, top + row as f32 * step);
                if let Some(square) = Rect::from_xywh(x, y, step, step) {
                    path.push_rect(square);
                }
            }
        }
    }
    if let Some(path) = path.finish() {
        surface.draw_path(&path);
    }
    Ok(())
}
