//! Writing a message, in the transaction of what it tells.

use chassis::Error;
use prost::Message as _;
use proto::identity::Message;
use sqlx::PgConnection;

use super::{MESSAGE, model::MessageId, store};
use crate::service::Identity;

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
    let address = &identity.post.address;
    let text = format!(
        "システム利用IDが発行されました。\nアドレス: {address}\nログインID: {login}\n初回パスワード: {secret}\n\
         72時間以内に一度だけ使えます。心当たりのない場合は破棄してください。"
    );
    keep(identity, conn, to.to_owned(), text).await
}

async fn keep(identity: &Identity, conn: &mut PgConnection, destination: String, text: String) -> Result<(), Error> {
    let id = MessageId::new();
    let message = Message { destination, text, create_time: None };
    let sealed = identity.vault().seal(MESSAGE, id.uuid().as_bytes(), &message.encode_to_vec())?;
    Ok(store::insert(conn, id, &sealed, identity.base.clock.now()).await?)
}
