//! Codes of the contract in the database.

use sqlx::{
    Database, Decode, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgHasArrayType, PgTypeInfo, PgValueRef},
};

/// An enum of the contract as a `smallint`. A code that a newer binary wrote reads as the unspecified one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code<E>(pub E);

impl<E> Type<Postgres> for Code<E> {
    fn type_info() -> PgTypeInfo {
        <i16 as Type<Postgres>>::type_info()
    }
}

impl<E> PgHasArrayType for Code<E> {
    fn array_type_info() -> PgTypeInfo {
        <i16 as PgHasArrayType>::array_type_info()
    }
}

impl<E: Copy + Into<i32>> Encode<'_, Postgres> for Code<E> {
    fn encode_by_ref(&self, buffer: &mut <Postgres as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let number: i32 = self.0.into();
        Encode::<Postgres>::encode_by_ref(&i16::try_from(number)?, buffer)
    }
}

impl<E: TryFrom<i32> + Default> Decode<'_, Postgres> for Code<E> {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let number: i16 = Decode::<Postgres>::decode(value)?;
        Ok(Self(E::try_from(i32::from(number)).unwrap_or_default()))
    }
}

/// A code that a request carries as its bare number. The contract's rules refuse unknown codes; one that slips through
/// counts as unspecified.
pub fn code<E: TryFrom<i32> + Default>(number: i32) -> E {
    E::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proto::registry::{Placement, Severity};
    use testing::{Outcome, World};

    use super::{Code, code};

    #[tokio::test]
    async fn a_code_survives_the_database_and_an_unknown_one_is_unspecified() -> Outcome {
        let world = World::new("statistics", &[]).await?;
        let pool = &world.base.pool;
        let (one, many): (Code<Placement>, Vec<Code<Severity>>) = sqlx::query_as("select $1, $2")
            .bind(Code(Placement::Lodging))
            .bind(vec![Code(Severity::Mild), Code(Severity::Severe)])
            .fetch_one(pool)
            .await?;
        assert_eq!((one.0, many), (Placement::Lodging, vec![Code(Severity::Mild), Code(Severity::Severe)]));
        let newer: Code<Placement> = sqlx::query_scalar("select 99::smallint").fetch_one(pool).await?;
        assert_eq!((newer.0, code::<Placement>(99)), (Placement::Unspecified, Placement::Unspecified));
        Ok(())
    }
}
