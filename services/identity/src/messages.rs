//! Messages to people: kept as ciphertext until a provider takes them. No name and no disease in any of them: a mistyped
//! number must reveal nothing.

use std::time::Duration;

use access::{
    Caller,
    audit::{self, Act, Actor},
};
use anyhow::Context as _;
use chassis::{Error, Post, page};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};
use prost::Message as _;
use proto::identity::{ListMessagesRequest, ListMessagesResponse, Message};
use runtime::{clock, problem::text};
use sqlx::PgConnection;
use uuid::Uuid;
use vault::{Place, Vault};

use crate::{rpc::Identity, store};

/// Where messages lie.
pub(crate) const MESSAGE: Place = Place { table: "message", column: "sealed" };
/// How often the courier looks.
const LOOK: Duration = Duration::from_millis(500);
/// After so many tries nobody waits for it any more.
const TRIES: i32 = 10;

/// Whether a text may be a mail address: the server has the last word.
pub(crate) fn is_mail(text: &str) -> bool {
    text.parse::<lettre::Address>().is_ok()
}

/// The one-time code of a patient or proxy.
pub(crate) async fn one_time_code(
    identity: &Identity,
    conn: &mut PgConnection,
    to: String,
    code: &str,
) -> Result<(), Error> {
    keep(identity, conn, to, format!("健康状態の入力の認証コード: {code}（10分間有効）")).await
}

/// The secret of a new ID, to its holder.
pub(crate) async fn initial_secret(
    identity: &Identity,
    conn: &mut PgConnection,
    to: &str,
    login: &str,
    secret: &str,
) -> Result<(), Error> {
    let address = &identity.base.settings().post.address;
    let text = format!(
        "システム利用IDが発行されました。\nアドレス: {address}\nログインID: {login}\n初回パスワード: {secret}\n\
         72時間以内に一度だけ使えます。心当たりのない場合は破棄してください。"
    );
    keep(identity, conn, to.to_owned(), text).await
}

async fn keep(identity: &Identity, conn: &mut PgConnection, destination: String, text: String) -> Result<(), Error> {
    let id = Uuid::now_v7();
    let message = Message { destination, text, created_at: None };
    let sealed = identity.vault().seal(MESSAGE, id.as_bytes(), &message.encode_to_vec())?;
    store::insert_message(conn, id, &sealed).await?;
    Ok(())
}

/// The local message outbox of the embedded default.
pub(crate) async fn list(
    identity: &Identity,
    caller: &Caller,
    request: &ListMessagesRequest,
) -> Result<ListMessagesResponse, Error> {
    if identity.base.settings().post.smtp.is_some() {
        // What waits for a provider is between the system and the person.
        return Err(Error::Precondition(text(
            "配信事業者が設定されているため、表示できません。",
            "A provider delivers messages: they are not shown.",
        )));
    }
    let mut tx = identity.base.pool.begin().await?;
    let rows = store::list_messages(&mut tx, page::size(request.page_size)).await?;
    let mut messages = Vec::with_capacity(rows.len());
    for (id, sealed, created_at) in &rows {
        let message = opened(identity.vault(), *id, sealed)?;
        messages.push(Message { created_at: Some(clock::to_proto(*created_at)), ..message });
    }
    let act =
        Act { actor: Actor::Caller(caller), rpc: "ListMessages", groups: &[3], request_id: None, on_behalf_of: None };
    audit::record(&mut tx, &act, &rows.iter().map(|(id, ..)| *id).collect::<Vec<_>>()).await?;
    tx.commit().await?;
    Ok(ListMessagesResponse { messages })
}

fn opened(vault: &Vault, id: Uuid, sealed: &[u8]) -> Result<Message, Error> {
    let plain = vault.open(MESSAGE, id.as_bytes(), sealed)?;
    Message::decode(plain.as_slice()).map_err(|error| Error::Internal(error.into()))
}

/// Forgets the answers that hold a secret: who lost one asks for a new one. Ten minutes are enough to ask again after a lost
/// response.
pub(crate) fn start_forgetting(identity: &Identity) {
    let (pool, stop) = (identity.base.pool.clone(), identity.base.shutdown.clone());
    identity.base.shutdown.spawn("forgetting", async move {
        loop {
            if let Err(error) = store::forget_secret_answers(&pool).await {
                tracing::warn!(error = ?error.as_database_error().and_then(sqlx::error::DatabaseError::code), "Could not forget answers");
            }
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(Duration::from_mins(1)) => {}
            }
        }
    });
}

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
        let settings: &Post = &identity.base.settings().post;
        let Some(server) = &settings.smtp else { return Ok(None) };
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
        Ok(Some(Self {
            identity: identity.clone(),
            smtp: builder.build(),
            from: settings.smtp_from.parse().context("HERSYS_SMTP_FROM is no mail address")?,
            sms_domain: settings.sms_domain.clone(),
        }))
    }

    /// Delivers one message. `true` where there was one.
    async fn round(&self) -> anyhow::Result<bool> {
        let pool = &self.identity.base.pool;
        // Taken by setting its next try ahead: no transaction stays open while the provider thinks.
        let Some((id, sealed, tries)) = store::take_message(&mut *pool.acquire().await?, TRIES).await? else {
            return Ok(false);
        };
        let message = opened(self.identity.vault(), id, &sealed).map_err(|error| anyhow::anyhow!("{error}"))?;
        if self.send(&message).await.is_ok() {
            store::delivered(&mut *pool.acquire().await?, id).await?;
        } else if tries >= TRIES {
            // A code that nobody waits for any more, or an address that is none: nothing of it is kept.
            tracing::warn!(%id, "A message was given up");
            store::delivered(&mut *pool.acquire().await?, id).await?;
        } else {
            // The provider's words may hold the address: they stay out of the log.
            tracing::warn!(%id, tries, "The provider did not take a message");
        }
        Ok(true)
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
