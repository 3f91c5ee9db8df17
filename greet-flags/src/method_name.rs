//! Finds a method by its name or by a unique end of it, as flags of both programs take it.

use crate::variables::nearest;

/// Returns the name among `names` that `given` is or ends, such as `SayHello` or `Greeter/SayHello`; a
/// leading `/` is allowed.
///
/// # Errors
/// No name, or several, have this end. The text suggests the most similar one of `suggested`, or lists
/// them.
pub fn find<'a>(
    given: &str,
    names: &'a [impl AsRef<str>],
    suggested: &[impl AsRef<str>],
) -> Result<&'a str, String> {
    let wanted = given.strip_prefix('/').unwrap_or(given);
    let names = || names.iter().map(AsRef::as_ref);
    if let Some(name) = names().find(|name| *name == wanted) {
        return Ok(name);
    }
    let matching: Vec<_> = names().filter(|name| is_end(wanted, name)).collect();
    match matching[..] {
        [name] => Ok(name),
        [] => Err(format!("{given:?} is not a method; {}", suggestion(wanted, suggested))),
        _ => Err(format!("{given:?} is not unique: {}", matching.join(", "))),
    }
}

/// Returns whether `Method` or `Service/Method` is an end of a full name, at a boundary.
fn is_end(end: &str, name: &str) -> bool {
    name.strip_suffix(end).is_some_and(|start| start.ends_with(['.', '/']))
}

/// Suggests the method with the most similar name, or lists all.
fn suggestion(wanted: &str, names: &[impl AsRef<str>]) -> String {
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    let starts = |name: &str| {
        name.match_indices(['.', '/']).map(|(at, _)| at + 1).chain([0]).collect::<Vec<_>>()
    };
    let ends = names.iter().flat_map(|name| starts(name).into_iter().map(|start| &name[start..]));
    let similar = nearest(wanted, ends);
    let has_end = |name: &&&str, end| **name == end || is_end(end, name);
    match similar.and_then(|end| names.iter().find(|name| has_end(name, end))) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("the methods are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a.v1.Clock/Now", "a.v1.Clock/Set", "a.v2.Clock/Now"];

    #[test]
    fn method_is_found_by_its_name_or_a_unique_end() {
        let found = |given| find(given, &NAMES, &NAMES);
        for given in ["a.v1.Clock/Set", "/a.v1.Clock/Set", "v1.Clock/Set", "Clock/Set", "Set"] {
            assert_eq!(found(given), Ok("a.v1.Clock/Set"), "{given}");
        }
        let ambiguous = "\"Clock/Now\" is not unique: a.v1.Clock/Now, a.v2.Clock/Now";
        assert_eq!(found("Clock/Now").unwrap_err(), ambiguous);
        for given in ["", "et", "lock/Set", "Clock", "set"] {
            assert!(found(given).is_err(), "{given}");
        }
    }

    #[test]
    fn unknown_method_gets_the_nearest_or_all() {
        let error = |given| find(given, &NAMES, &NAMES[1..2]).unwrap_err();
        assert_eq!(error("Sett"), "\"Sett\" is not a method; did you mean a.v1.Clock/Set?");
        let ends = ["a.Foo/ListNow", "a.Foo/Now"];
        let noww = "\"Noww\" is not a method; did you mean a.Foo/Now?";
        assert_eq!(find("Noww", &ends, &ends).unwrap_err(), noww);
        assert_eq!(error("zebra"), "\"zebra\" is not a method; the methods are a.v1.Clock/Set");
    }
}
