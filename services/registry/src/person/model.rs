//! The rules of the basic items: what must hold, what a correction may touch, when two records are the same person.

use chassis::Error;
use japan::{date, name, person, phone};
use proto::registry::Person;
use runtime::problem::Violation;
use time::Date;

use crate::{case, fact::Content};

data::id!(
    /// A person, as known in one episode.
    PersonId,
    "person"
);

/// Checks the basic items and brings them to their stored form: dates in ISO, telephone in its normal form, names as typed.
pub(crate) fn check(given: Person, today: Date) -> Result<(Person, person::Checked), Error> {
    let checked = person::check(&typed(&given), today).map_err(|faults| refused(&faults))?;
    Ok((normal(given), checked))
}

/// The fields that a correction names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask(Vec<Field>);

/// A basic item, by its name, and how it goes from one person to another.
type Field = (&'static str, fn(&mut Person, &Person));

const FIELDS: [Field; 9] = [
    ("name_kanji", |held, given| held.name_kanji.clone_from(&given.name_kanji)),
    ("name_kana", |held, given| held.name_kana.clone_from(&given.name_kana)),
    ("birth_date", |held, given| held.birth_date.clone_from(&given.birth_date)),
    ("sex", |held, given| held.sex = given.sex),
    ("address", |held, given| held.address.clone_from(&given.address)),
    ("phone", |held, given| held.phone.clone_from(&given.phone)),
    ("mail", |held, given| held.mail.clone_from(&given.mail)),
    ("municipality_code", |held, given| held.municipality_code.clone_from(&given.municipality_code)),
    ("stated_age_band", |held, given| held.stated_age_band = given.stated_age_band),
];

impl Mask {
    /// Reads an `update_mask`.
    ///
    /// # Errors
    /// Where it names nothing, or something else than basic items.
    pub(crate) fn read(paths: &[String]) -> Result<Self, Error> {
        if paths.is_empty() {
            return Err(Error::invalid("update_mask", "更新する項目を指定してください", "must name at least one item"));
        }
        let field = |path: &String| FIELDS.iter().find(|(name, _)| name == path).copied();
        paths.iter().map(field).collect::<Option<_>>().map(Self).ok_or_else(|| {
            Error::invalid("update_mask", "基本情報にない項目です", "must name basic items of the person only")
        })
    }

    fn names(&self, field: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == field)
    }
}

/// The held person with the items of the mask replaced, in stored form.
///
/// What the mask does not name is not this correction's to mend: a record that never held a kana name takes a new telephone. But
/// a correction breaks nothing that held before.
///
/// # Errors
/// The fields at fault.
pub(crate) fn corrected(held: &Person, given: &Person, mask: &Mask, today: Date) -> Result<Person, Error> {
    let mut person = held.clone();
    for (_, replace) in &mask.0 {
        replace(&mut person, given);
    }

    let before = faults(held, today);
    let mut now = faults(&person, today);
    now.retain(|fault| mask.names(fault.field) || before.iter().all(|known| known.field != fault.field));
    if now.is_empty() { Ok(normal(person)) } else { Err(refused(&now)) }
}

/// What a person's record says of sex and age on a day.
pub(crate) fn described(person: &Person, on: Date) -> Content {
    let born = born(person);
    let band = case::age_band(data::code(person.stated_age_band), born, on);
    Content::Description(data::code(person.sex), band, born.is_some())
}

/// The birth date of a stored person, where it is known.
pub(crate) fn born(person: &Person) -> Option<Date> {
    date::parse(&person.birth_date).ok()
}

fn faults(person: &Person, today: Date) -> Vec<person::Finding> {
    person::check(&typed(person), today).err().unwrap_or_default()
}

fn refused(faults: &[person::Finding]) -> Error {
    Error::Invalid(
        faults.iter().map(|fault| Violation::new(format!("person.{}", fault.field), &fault.ja, &fault.en)).collect(),
    )
}

fn typed(given: &Person) -> person::Typed<'_> {
    person::Typed {
        name_kanji: &given.name_kanji,
        name_kana: &given.name_kana,
        birth_date: &given.birth_date,
        phone: &given.phone,
        mail: &given.mail,
        municipality_code: &given.municipality_code,
        has_age_band: given.stated_age_band != 0,
    }
}

fn normal(mut person: Person) -> Person {
    match born(&person) {
        Some(born) => person.birth_date = born.to_string(),
        None if person.birth_date.trim().is_empty() => person.birth_date.clear(),
        // Kept as it was: only a fault that was there before gets here.
        None => {}
    }
    if person.phone.trim().is_empty() {
        person.phone.clear();
    } else if let Some(phone) = phone::normalise(&person.phone) {
        person.phone = phone;
    }
    person
}

/// What two records of one person have in common: both names, the birth date and the telephone. `None` where too little is
/// known to call anybody the same.
///
/// Whoever files for a person joins the open case and sees it. A name and a birth date are known to many; the number a
/// person answers is not. Nearer resemblances are for people to judge.
pub(crate) fn match_key(person: &Person) -> Option<String> {
    let (kanji, kana) = (name::search_key(&person.name_kanji), name::search_key(&person.name_kana));
    let known = !kanji.is_empty() && !person.birth_date.is_empty() && !person.phone.is_empty();
    known.then(|| format!("{kanji}|{kana}|{}|{}", person.birth_date, person.phone))
}

/// Whether two records can be the same person: a name in kanji or kana, and the birth date or, where one of them does not know it,
/// the telephone. Somebody who names a case knows it, so that less is needed here than to be found by.
pub(crate) fn agrees(one: &Person, other: &Person) -> bool {
    let same = |of: fn(&Person) -> String| {
        let (one, other) = (of(one), of(other));
        !one.is_empty() && one == other
    };
    let named =
        same(|person| name::search_key(&person.name_kanji)) || same(|person| name::search_key(&person.name_kana));
    if one.birth_date.is_empty() || other.birth_date.is_empty() {
        return named && same(|person| person.phone.clone());
    }
    named && one.birth_date == other.birth_date
}

/// What another record of the person adds to what is known. `None` where it adds nothing. Nothing known is overwritten.
pub(crate) fn supplied(known: &Person, other: &Person) -> Option<Person> {
    let mut person = known.clone();
    for (held, given) in [
        (&mut person.name_kana, &other.name_kana),
        (&mut person.birth_date, &other.birth_date),
        (&mut person.address, &other.address),
        (&mut person.phone, &other.phone),
        (&mut person.mail, &other.mail),
        (&mut person.municipality_code, &other.municipality_code),
    ] {
        if held.is_empty() {
            held.clone_from(given);
        }
    }
    if person.sex == 0 {
        person.sex = other.sex;
    }
    Some(person).filter(|person| person != known)
}

/// Whether another record of the person says something else, so that somebody should look.
pub(crate) fn differs(known: &Person, other: &Person) -> bool {
    let differ = |of: fn(&Person) -> String| {
        let (one, other) = (of(known), of(other));
        !one.is_empty() && !other.is_empty() && one != other
    };
    differ(|person| name::search_key(&person.name_kanji))
        || differ(|person| name::search_key(&person.name_kana))
        || differ(|person| person.birth_date.clone())
        || differ(|person| person.phone.clone())
        || differ(|person| name::search_key(&person.address))
}

#[cfg(test)]
mod tests {
    use proto::registry::Person;
    use time::macros::date;

    use super::{Mask, agrees, corrected, match_key};

    const TODAY: time::Date = date!(2020 - 06 - 01);

    fn person() -> Person {
        Person {
            name_kanji: "山田 太郎".to_owned(),
            name_kana: "ヤマダ タロウ".to_owned(),
            birth_date: "1980-01-31".to_owned(),
            ..Person::default()
        }
    }

    fn mask(names: &[&str]) -> Mask {
        Mask::read(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn nobody_is_matched_on_what_many_know() {
        let person = person();
        assert_eq!(match_key(&person), None);
        let reachable = Person { phone: "09010000000".to_owned(), ..person };
        assert_eq!(match_key(&reachable).as_deref(), Some("山田太郎|ヤマダタロウ|1980-01-31|09010000000"));
        let written_otherwise = Person { name_kana: "ﾔﾏﾀﾞ　ﾀﾛｳ".to_owned(), ..reachable.clone() };
        assert_eq!(match_key(&written_otherwise), match_key(&reachable));
        assert_eq!(match_key(&Person { birth_date: String::new(), ..reachable }), None);
    }

    #[test]
    fn a_mask_of_one_field_takes_that_field_and_demands_no_other() {
        let incomplete = Person { name_kana: String::new(), birth_date: String::new(), ..person() };
        let given = Person { phone: "090-1234-5678".to_owned(), ..Person::default() };
        let phone = corrected(&incomplete, &given, &mask(&["phone"]), TODAY).unwrap();
        assert!(phone == Person { phone: "09012345678".to_owned(), ..incomplete.clone() });
        assert!(corrected(&incomplete, &given, &mask(&["phone", "birth_date"]), TODAY).is_err(), "named, and empty");
    }

    #[test]
    fn a_correction_breaks_nothing_that_held_before() {
        let latin = Person { name_kanji: "SMITH JOHN".to_owned(), name_kana: String::new(), ..person() };
        let given = Person { name_kanji: "山田 太郎".to_owned(), ..Person::default() };
        assert!(corrected(&latin, &given, &mask(&["name_kanji"]), TODAY).is_err(), "needs kana from here on");
        let given = Person { name_kana: "ヤマダ タロウ".to_owned(), ..given };
        corrected(&latin, &given, &mask(&["name_kanji", "name_kana"]), TODAY).unwrap();
    }

    #[test]
    fn a_name_and_the_birth_date_make_a_person_and_twins_are_two() {
        let known = Person { phone: "09010000000".to_owned(), ..person() };
        assert!(agrees(&known, &person()), "a new telephone is the same person");
        assert!(agrees(&known, &Person { name_kanji: "山田 太朗".to_owned(), ..person() }), "by the kana");
        let twin =
            Person {
                name_kanji: "山田 次郎".to_owned(), name_kana: "ヤマダ ジロウ".to_owned(), ..known.clone()
            };
        assert!(!agrees(&known, &twin));
        assert!(!agrees(&known, &Person { birth_date: "1950-01-31".to_owned(), ..known.clone() }), "a namesake");
        let undated = Person { birth_date: String::new(), ..known.clone() };
        assert!(agrees(&known, &undated), "by the telephone");
        assert!(!agrees(&known, &Person { phone: String::new(), ..undated }));
        assert!(!agrees(&Person::default(), &Person::default()), "nobody is nobody");
    }
}
