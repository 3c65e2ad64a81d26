//! Who asks too much is told when to come back, and the others do not notice.

use e2e::{Refused as _, World, file, filing, form, person};
use futures::future::{join, join_all};
use proto::identity::{RefreshTokensRequest, Role, SignInRequest};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::Outcome;

#[tokio::test]
async fn an_address_beyond_its_limit_is_told_when_to_come_back() -> Outcome {
    let world = World::shared()?;
    let gateway = world.gateway_with(&[("HERSYS_LIMIT_ANONYMOUS", "10")]).await?;
    let client = gateway.client()?;
    let mut hint = None;
    for _ in 0..600 {
        let request = RefreshTokensRequest { refresh_token: "nobody's".to_owned() };
        let status = client.sessions().refresh_tokens(request).await.refused();
        if status.code() == Code::ResourceExhausted {
            hint = status.get_details_retry_info();
            break;
        }
    }
    assert!(hint.and_then(|info| info.retry_delay).is_some());
    // The control: the same call at the gateway beside it, with a higher limit, is refused for its token only.
    let request = RefreshTokensRequest { refresh_token: "nobody's".to_owned() };
    let beside = world.stack.client()?.sessions().refresh_tokens(request).await.refused();
    assert_eq!(beside.code(), Code::Unauthenticated);
    Ok(())
}

/// Runs alone: whoever signs in meanwhile would be turned away too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_storm_is_turned_away_with_a_hint_and_filings_go_on() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let stranger = world.stack.client()?;
    // Ten times what waits for its turn.
    let storm = (0..400).map(|number| {
        let mut sign_ins = stranger.sign_ins();
        async move {
            let request = SignInRequest {
                login: format!("storm{number}"),
                password: "a wrong password".to_owned(),
                ..SignInRequest::default()
            };
            sign_ins.sign_in(request).await.refused()
        }
    });
    let filings = (0..50).map(|_| file(&clinic, filing(form(&person()))));
    let (refused, filed) = join(join_all(storm), join_all(filings)).await;
    assert_eq!(filed.iter().filter(|answer| answer.is_ok()).count(), 50, "filing is untouched");

    let turned_away: Vec<&Status> = refused.iter().filter(|status| status.code() == Code::ResourceExhausted).collect();
    assert!(turned_away.len() > 100, "{} turned away", turned_away.len());
    let hinted = |status: &&Status| status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some());
    assert!(turned_away.iter().all(hinted));
    // Whoever got a turn was told the usual.
    assert!(refused.iter().any(|status| status.code() == Code::Unauthenticated));
    Ok(())
}
