//! Query parameters of requests.

use http::StatusCode;
use lambda_http::{Request, RequestExt};
use levee::http::Problem;

/// Refuses unknown and repeated parameters.
pub(crate) fn only_known(request: &Request, known: &[&str]) -> Result<(), Problem> {
    let Some(parameters) = request.query_string_parameters_ref() else { return Ok(()) };
    for (name, _) in parameters.iter() {
        if !known.contains(&name) {
            return Err(invalid(format!("There is a parameter that is not known. {}.", listed(known))));
        }
        if parameters.all(name).is_some_and(|values| values.len() > 1) {
            return Err(invalid(format!("'{name}' is there more than once.")));
        }
    }
    Ok(())
}

/// Lists the known parameters in a sentence.
fn listed(known: &[&str]) -> String {
    match known {
        [] => "There are none".to_owned(),
        [others @ .., last] if !others.is_empty() => {
            format!("The parameters are '{}' and '{last}'", others.join("', '"))
        }
        [only, ..] => format!("The parameter is '{only}'"),
    }
}

/// Returns a query parameter. An empty value counts as absent.
pub(crate) fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.query_string_parameters_ref()?.first(name).filter(|value| !value.is_empty())
}

/// Creates the problem of a request that is wrong for the public reason in `sentence`.
pub(crate) fn invalid(sentence: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", sentence)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn checked(query: &[(&str, &[&str])], known: &[&str]) -> Result<(), String> {
        let values = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        let query: HashMap<_, _> = query.iter().map(|(name, it)| ((*name).to_owned(), values(it))).collect();
        only_known(&Request::default().with_query_string_parameters(query), known).map_err(|problem| problem.detail)
    }

    #[test]
    fn a_parameter_that_is_not_known_is_refused_and_so_is_one_that_is_there_twice() {
        let known = ["month", "format"];
        assert_eq!(checked(&[], &known), Ok(()));
        assert_eq!(checked(&[("month", &["2026-11"]), ("format", &["csv"])], &known), Ok(()));
        let unknown = "There is a parameter that is not known. The parameters are 'month' and 'format'.";
        assert_eq!(checked(&[("account", &["globex"])], &known).unwrap_err(), unknown);
        let twice = checked(&[("month", &["2026-10", "2026-11"])], &known).unwrap_err();
        assert_eq!(twice, "'month' is there more than once.");
        let none = "There is a parameter that is not known. There are none.";
        assert_eq!(checked(&[("a", &["1"])], &[]).unwrap_err(), none);
    }
}
