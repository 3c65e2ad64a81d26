//! Writing a message, in the transaction of what it tells.

use chassis::Error;
use prost::Message as _;
use proto::identity::Message;
use sqlx::PgConnection;
use time::Duration;

use super::{MESSAGE, model::MessageId, store};
use crate::service::Identity;

/// A one-time code is of use for so long.
const CODE: Duration = Duration::minutes(10);

/// The one-time code of a patient or proxy.
pub(crate) async fn one_time_code(
    identity: &Identity,
    conn: &mut PgConnection,
    to: String,
    code: &str,
) -> Result<(), Error> {
    keep(identity, conn, to, format!("健康状態の入力の認証コード: {code}（10分間有効）"), CODE).await
}

/// The secret of a new ID, to its holder.
pub(crate) async fn initial_secret(
    identity: &Identity,
    conn: &mut PgConnection,
    to: &str,
    login: &str,
    secret: &str,
    life: Duration,
) -> Result<(), Error> {
    let address = &identity.post.address;
    let text = format!(
        "システム利用IDが発行されました。\nアドレス: {address}\nログインID: {login}\n初回パスワード: {secret}\n\
         {}時間以内に一度だけ使えます。心当たりのない場合は破棄してください。",
        life.whole_hours()
    );
    keep(identity, conn, to.to_owned(), text, life).await
}

async fn keep(
    identity: &Identity,
    conn: &mut PgConnection,
    destination: String,
    text: String,
    life: Duration,
) -> Result<(), Error> {
    let id = MessageId::new();
    let message = Message { destination, text, create_time: None };
    let sealed = identity.vault().seal(MESSAGE, id.uuid().as_bytes(), &message.encode_to_vec())?;
    let now = identity.base.clock.now();
    Ok(store::insert(conn, id, &sealed, now, now + life).await?)
}
