//! Hands messages to the provider, one after the other.

use std::time::Duration;

use anyhow::Context as _;
use data::pool;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};
use proto::identity::Message;

use super::{
    model::{TRIES, pause_after},
    opened,
    store::{self, Waiting},
};
use crate::{service::Identity, settings::Post};

/// How often the courier looks.
const LOOK: Duration = Duration::from_millis(500);

/// Hands messages to the provider until the process is to stop. Without a mail server there is no courier.
///
/// # Errors
/// When the settings of the mail server are unusable.
pub(crate) fn start_courier(identity: &Identity) -> anyhow::Result<()> {
    let Some(courier) = Courier::of(identity)? else { return Ok(()) };
    let stop = identity.base.shutdown.clone();
    identity.base.shutdown.spawn("courier", async move {
        loop {
            match courier.round().await {
                Ok(true) if !stop.is_requested() => continue,
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(error = %format!("{error:#}"), "Could not deliver messages"),
            }
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    });
    Ok(())
}

struct Courier {
    identity: Identity,
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    sms_domain: Option<String>,
}

impl Courier {
    fn of(identity: &Identity) -> anyhow::Result<Option<Self>> {
        let settings = &*identity.post;
        let Some(server) = &settings.smtp else { return Ok(None) };
        Ok(Some(Self {
            identity: identity.clone(),
            smtp: transport(settings, server)?,
            from: settings.smtp_from.parse().context("HERSYS_SMTP_FROM is no mail address")?,
            sms_domain: settings.sms_domain.clone(),
        }))
    }

    /// Delivers one message. `true` where there was one.
    async fn round(&self) -> anyhow::Result<bool> {
        let pool = &self.identity.base.pool;
        let Some(Waiting { message_id: id, sealed, tries, .. }) = self.take().await? else { return Ok(false) };
        let message = opened(self.identity.vault(), id, &sealed).map_err(|error| anyhow::anyhow!("{error}"))?;
        if self.send(&message).await.is_ok() {
            store::delete(&mut *pool.acquire().await?, id).await?;
        } else if tries >= TRIES {
            // A code that nobody waits for any more, or an address that is none.
            tracing::warn!(%id, "A message was given up");
            store::delete(&mut *pool.acquire().await?, id).await?;
        } else {
            // The provider's words may hold the address: they stay out of the log.
            tracing::warn!(%id, tries, "The provider did not take a message");
        }
        Ok(true)
    }

    /// The next message that is due. Its next try is set ahead at once: no transaction stays open while the provider thinks.
    async fn take(&self) -> anyhow::Result<Option<Waiting>> {
        let now = self.identity.base.clock.now();
        let mut tx = pool::begin_task(&self.identity.base.pool).await?;
        let Some(mut waiting) = store::lock_due(&mut tx, TRIES, now).await? else { return Ok(None) };
        waiting.tries += 1;
        store::count_try(&mut tx, waiting.message_id, waiting.tries, now + pause_after(waiting.tries)).await?;
        tx.commit().await?;
        Ok(Some(waiting))
    }

    async fn send(&self, message: &Message) -> anyhow::Result<()> {
        let to: Mailbox = if message.destination.contains('@') {
            message.destination.parse()?
        } else {
            let domain = self.sms_domain.as_ref().context("no provider of short messages is set")?;
            let number: String = message.destination.chars().filter(char::is_ascii_digit).collect();
            format!("{number}@{domain}").parse()?
        };
        let mail = lettre::Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject("お知らせ")
            .header(ContentType::TEXT_PLAIN)
            .body(message.text.clone())?;
        self.smtp.send(mail).await?;
        Ok(())
    }
}

/// The mail server, under TLS.
fn transport(settings: &Post, server: &str) -> anyhow::Result<AsyncSmtpTransport<Tokio1Executor>> {
    let (host, port) = server.rsplit_once(':').context("HERSYS_SMTP is host:port")?;
    let mut tls = TlsParameters::builder(host.to_owned());
    if let Some(ca) = &settings.smtp_ca {
        tls = tls.certificate_store(CertificateStore::None);
        let pem = std::fs::read(ca).with_context(|| format!("read {}", ca.display()))?;
        tls = tls.add_root_certificate(Certificate::from_pem(&pem).context("read the mail server's authority")?);
    }
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(port.parse().context("HERSYS_SMTP is host:port")?)
        .tls(Tls::Required(tls.build().context("prepare TLS to the mail server")?))
        .timeout(Some(Duration::from_secs(10)));
    if let Some(file) = &settings.smtp_credentials {
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let (user, password) = text.trim().split_once('\n').context("the credentials are two lines")?;
        builder = builder.credentials(Credentials::new(user.to_owned(), password.to_owned()));
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use testing::Outcome;
    use time::Duration;

    use super::{Courier, TRIES};
    use crate::{
        fixture::{Scene, post},
        message,
        settings::Post,
    };

    /// Nobody listens there.
    fn away() -> Post {
        Post { smtp: Some("127.0.0.1:1".to_owned()), ..post() }
    }

    #[tokio::test]
    async fn a_message_is_tried_less_and_less_often_and_then_given_up() -> Outcome {
        let scene = Scene::with_post(away()).await?;
        let mut conn = scene.world.base.pool.acquire().await?;
        for to in ["hanako@example.jp", "+819012345678"] {
            message::initial_secret(&scene.identity, &mut conn, to, "nurse.sato", "secret", Duration::hours(72))
                .await?;
        }
        let courier = Courier::of(&scene.identity)?.unwrap();
        assert!(courier.round().await? && courier.round().await?, "both are tried");
        assert!(!courier.round().await?, "and rest");
        scene.world.clock.advance(Duration::seconds(5));
        assert!(courier.round().await? && courier.round().await?);
        scene.world.clock.advance(Duration::seconds(5));
        assert!(!courier.round().await?, "twice as long");
        for _ in 2..TRIES {
            scene.world.clock.advance(Duration::HOUR);
            assert!(courier.round().await? && courier.round().await?);
        }
        scene.world.clock.advance(Duration::DAY);
        assert!(!courier.round().await?);
        let left = message::store::page(&mut conn, chassis::page::After::START, 10, scene.world.clock.now()).await?;
        assert!(left.is_empty(), "nothing of them is kept");
        Ok(())
    }

    #[tokio::test]
    async fn a_code_that_expired_is_not_sent() -> Outcome {
        let scene = Scene::with_post(away()).await?;
        let mut conn = scene.world.base.pool.acquire().await?;
        message::one_time_code(&scene.identity, &mut conn, "hanako@example.jp".to_owned(), "123456").await?;
        let courier = Courier::of(&scene.identity)?.unwrap();
        scene.world.clock.advance(Duration::minutes(11));
        assert!(!courier.round().await?);
        Ok(())
    }

    #[tokio::test]
    async fn there_is_a_courier_only_where_a_mail_server_is_set_and_its_settings_must_be_good() -> Outcome {
        assert!(Courier::of(&Scene::new().await?.identity)?.is_none());
        for bad in [
            Post { smtp: Some("nowhere".to_owned()), ..post() },
            Post { smtp_from: "nobody".to_owned(), ..away() },
            Post { smtp_ca: Some("/nowhere".into()), ..away() },
            Post { smtp_credentials: Some("/nowhere".into()), ..away() },
        ] {
            assert!(Courier::of(&Scene::with_post(bad).await?.identity).is_err());
        }
        Ok(())
    }
}
