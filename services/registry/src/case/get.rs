//! `GetCase`: a case as the caller may see it.

use access::CaseId;
use chassis::{Call, Error, Seen};
use proto::registry::{Case as View, GetCaseRequest};

use super::{grants, store, view::view};
use crate::service::Registry;

pub(crate) async fn get(registry: Registry, call: Call<GetCaseRequest>) -> Result<View, Error> {
    let id = CaseId::parse(&call.request.case_id)?;
    let mut tx = registry.base.pool.begin().await?;
    let case = store::find(&mut tx, id).await?;
    let relations = grants::relations(&registry, &mut tx, &case, &call.caller, registry.base.clock.now()).await?;

    let view = view(&registry.base.vault, &mut tx, case, &relations).await?;
    call.record(&mut tx, &Seen::by(&relations, [id])).await?;
    tx.commit().await?;
    Ok(view)
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{identity::Role, options::Group};
    use testing::{Outcome, Refused as _, patient};
    use tonic::Code;

    use crate::fixture::Scene;

    #[tokio::test]
    async fn everybody_sees_what_the_relation_and_the_own_id_show() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let seen = scene.get(&scene.nurse, id).await?;
        assert_eq!(seen.person.unwrap().name_kanji, "山田 太郎");
        assert_eq!((seen.grants.len(), seen.etag.as_str()), (3, "1"));

        let narrowed = scene.osaka.narrowed(Role::Clerk, [Group::Identity]);
        assert_eq!(scene.get(&narrowed, id).await?.person.unwrap().name_kanji, "");
        let own = scene.get(&patient(id), id).await?;
        assert_eq!((own.person.unwrap().name_kanji.as_str(), own.grants.len()), ("山田 太郎", 0));
        assert_eq!(scene.world.audited("GetCase").await?.len(), 3);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        for (caller, id, code) in [
            (&scene.nurse, CaseId::new(), Code::NotFound),
            (&scene.tokyo_nurse, id, Code::NotFound),
            (&patient(CaseId::new()), id, Code::NotFound),
            (&scene.osaka.staff(Role::Administrator), id, Code::PermissionDenied),
        ] {
            assert_eq!(scene.get(caller, id).await.refused().code(), code);
        }
        assert!(scene.world.audited("GetCase").await?.is_empty());
        Ok(())
    }
}
