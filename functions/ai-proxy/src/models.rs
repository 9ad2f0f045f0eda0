//! The models that a caller's guards allow, as one id or as pages of the provider's list. No I/O.

use bytes::Bytes;
use levee::accounts::Terms;
use levee::http::anthropic::ErrorKind;
use levee::models::{LONGEST_ASKED, is_of_a_name};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::form_urlencoded;

use crate::answer::ApiError;
use crate::report::display_model;

/// Largest page of models. Anthropic's API allows no larger one, and has fewer models.
const MOST_ON_A_PAGE: usize = 1_000;
/// Size of a page if the caller does not set one.
const ON_A_PAGE: usize = 20;

/// Decodes the path parameter `parameter` into a model's id.
///
/// # Errors
/// 404 for an id that could lead to another path of the provider, and for a model that the guards do not allow.
pub fn id(parameter: &str, terms: &Terms) -> Result<String, ApiError> {
    let none = || ApiError::by_caller(ErrorKind::NotFound, "There is no such model.");
    // The gateway may leave a path parameter encoded. One that was encoded twice is no name once decoded.
    let id = percent_decode_str(parameter).decode_utf8().map_err(|_| none())?;
    // Allow slashes within a name, but no segment that leads to another path.
    let is_name = (1..=LONGEST_ASKED).contains(&id.len()) && is_of_a_name(&id);
    if !is_name || id.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(none());
    }
    if !terms.allow_model(&id) {
        let message = format!("There is no model '{}' for this key.", display_model(&id));
        return Err(ApiError::by_caller(ErrorKind::NotFound, message));
    }
    Ok(id.into_owned())
}

/// The page of the list of models that a caller asks for.
///
/// If guards limit the models, the proxy fetches the provider's whole list and makes the pages itself. A page of the
/// provider's could be without any model that the caller may see.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ModelsPage {
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
    /// Other parameters of the query.
    rest: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

#[derive(Serialize, Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

impl ModelsPage {
    /// Parses the query of a request for the list.
    ///
    /// # Errors
    /// 400 for an invalid `limit`.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut page = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            match name.as_str() {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST_ON_A_PAGE).contains(limit));
                    let message = format!("limit must be a whole number from 1 to {MOST_ON_A_PAGE}.");
                    page.limit = Some(limit.ok_or_else(|| ApiError::by_caller(ErrorKind::InvalidRequest, message))?);
                }
                "after_id" => page.after = Some(value),
                "before_id" => page.before = Some(value),
                _ => page.rest.push((name, value)),
            }
        }
        Ok(page)
    }

    /// Returns the query that fetches the whole list from the provider.
    pub fn query_of_all(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.rest).append_pair("limit", &MOST_ON_A_PAGE.to_string());
        query.finish()
    }

    /// Returns this page of the allowed models in `list`, in the form of Anthropic's API.
    ///
    /// # Errors
    /// 400 if the page begins at a model that is not listed, and 502 if `list` is no list of models.
    pub fn cut(&self, list: &[u8], terms: &Terms) -> Result<Bytes, ApiError> {
        let nonsense =
            || ApiError::upstream(ErrorKind::BadGateway, "The AI provider's list of models cannot be understood.");
        // Keep the models that the guards allow, each with its JSON as the provider sent it.
        let list: List<'_> = serde_json::from_slice(list).map_err(|_| nonsense())?;
        let mut models = Vec::with_capacity(list.data.len());
        for model in list.data {
            let Listed { id } = serde_json::from_str(model.get()).map_err(|_| nonsense())?;
            models.push((id, model));
        }
        models.retain(|(id, _)| terms.allow_model(id));

        let place = |name: &str, id: &str| {
            let place = models.iter().position(|(there, _)| there == id);
            let message = format!("{name} names no model that is listed.");
            place.ok_or_else(|| ApiError::by_caller(ErrorKind::InvalidRequest, message))
        };
        // Cut the page out of them.
        let limit = self.limit.unwrap_or(ON_A_PAGE);
        let (page, has_more) = match (&self.after, &self.before) {
            (Some(after), _) => {
                let rest = models.split_at(place("after_id", after)? + 1).1;
                (&rest[..limit.min(rest.len())], rest.len() > limit)
            }
            (None, Some(before)) => {
                let rest = models.split_at(place("before_id", before)?).0;
                (&rest[rest.len().saturating_sub(limit)..], rest.len() > limit)
            }
            (None, None) => (&models[..limit.min(models.len())], models.len() > limit),
        };
        // Answer with the page and the ids at its ends.
        let page = List {
            data: page.iter().map(|(_, model)| *model).collect(),
            has_more,
            first_id: page.first().map(|(id, _)| id.clone()),
            last_id: page.last().map(|(id, _)| id.clone()),
        };
        serde_json::to_vec(&page).map(Bytes::from).map_err(|_| nonsense())
    }
}

#[cfg(test)]
mod tests {
    use levee::accounts::Guards;
    use serde_json::{Value, json};

    use super::*;

    fn terms(models: &[&str]) -> Terms {
        let guards = Guards { models: models.iter().map(ToString::to_string).collect(), ..Guards::default() };
        Terms { key: guards, ..Terms::default() }
    }

    #[test]
    fn an_id_is_the_name_of_a_model_and_leads_to_no_other_path() {
        for (parameter, expected) in [
            ("claude-haiku-5-5", Some("claude-haiku-5-5")),
            ("us.anthropic.claude-haiku-5-5-v1:0", Some("us.anthropic.claude-haiku-5-5-v1:0")),
            ("us.anthropic.claude-haiku-5-5-v1%3A0", Some("us.anthropic.claude-haiku-5-5-v1:0")),
            ("anthropic%2Fclaude", Some("anthropic/claude")),
            ("a..b", Some("a..b")),
            ("", None),
            (".", None),
            ("..", None),
            ("%2e%2E", None),
            ("%252e%252e", None),
            ("%09.", None),
            ("\t.", None),
            ("%2509.", None),
            ("../files/file_1/content", None),
            ("..%2F..%2Fv1%2Ffiles%2Ffile_abc%2Fcontent", None),
            ("..%252F..%252Fv1%252Ffiles", None),
            ("a/../b", None),
            ("a//b", None),
            ("/a", None),
            ("a/", None),
            ("a/.", None),
            ("..;/files", None),
            ("..%5Cfiles", None),
            ("a%00", None),
            ("a?b", None),
            ("a%3Fb", None),
            ("a#b", None),
            ("a b", None),
            ("%ff", None),
            ("ä", None),
        ] {
            let id = id(parameter, &Terms::default());
            assert_eq!(id.as_deref().ok(), expected, "{parameter}");
            assert!(id.is_ok() || id.unwrap_err().kind == ErrorKind::NotFound, "{parameter}");
        }
        assert!(id(&"m".repeat(LONGEST_ASKED), &Terms::default()).is_ok());
        assert!(id(&"m".repeat(LONGEST_ASKED + 1), &Terms::default()).is_err());
    }

    #[test]
    fn a_model_that_the_guards_do_not_allow_is_not_there() {
        let terms = terms(&["claude-haiku-*"]);
        assert!(id("claude-haiku-5-5", &terms).is_ok());
        let failed = id("claude-opus-5-5", &terms).unwrap_err();
        assert_eq!((failed.kind, failed.may_retry), (ErrorKind::NotFound, false));
        assert_eq!(failed.message, "There is no model 'claude-opus-5-5' for this key.");
        let terms = Terms { account: Guards { models: ["x".to_owned()].into(), ..Guards::default() }, ..terms };
        assert!(id("claude-haiku-5-5", &terms).is_err(), "the account's guard holds besides");
    }

    /// Returns a page of a list of the models `m0` to `m9`, of which those with odd numbers are not allowed.
    fn page(query: &str) -> Result<Value, ApiError> {
        let data: Vec<_> = (0..10).map(|at| json!({"type": "model", "id": format!("m{at}"), "new": [1.50]})).collect();
        let list = json!({"data": data, "has_more": false, "first_id": "m0", "last_id": "m9"});
        let page =
            ModelsPage::parse(query)?.cut(list.to_string().as_bytes(), &terms(&["m0", "m2", "m4", "m6", "m8"]))?;
        Ok(serde_json::from_slice(&page).unwrap())
    }

    #[test]
    fn a_page_has_only_models_that_are_allowed_and_leads_to_all_of_them() {
        for (query, ids, has_more) in [
            ("", &["m0", "m2", "m4", "m6", "m8"][..], false),
            ("limit=1000&beta=true", &["m0", "m2", "m4", "m6", "m8"], false),
            ("limit=2", &["m0", "m2"], true),
            ("limit=2&after_id=m2", &["m4", "m6"], true),
            ("limit=2&after_id=m6", &["m8"], false),
            ("after_id=m8", &[], false),
            ("limit=2&before_id=m8", &["m4", "m6"], true),
            ("limit=2&before_id=m4", &["m0", "m2"], false),
            ("before_id=m0", &[], false),
        ] {
            let page = page(query).unwrap();
            let listed: Vec<_> = page["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
            assert_eq!(
                (listed, &page["has_more"]),
                (ids.iter().map(|id| json!(id)).collect(), &json!(has_more)),
                "{query}"
            );
            assert_eq!((&page["first_id"], &page["last_id"]), (&json!(ids.first()), &json!(ids.last())), "{query}");
        }
        assert_eq!(page("limit=1").unwrap()["data"][0], json!({"type": "model", "id": "m0", "new": [1.50]}));
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        for (query, message) in [
            ("limit=0", "limit must be a whole number from 1 to 1000."),
            ("limit=1001", "limit must be a whole number from 1 to 1000."),
            ("limit=x", "limit must be a whole number from 1 to 1000."),
            ("after_id=m1", "after_id names no model that is listed."),
            ("before_id=m99", "before_id names no model that is listed."),
        ] {
            let failed = page(query).unwrap_err();
            assert_eq!((failed.kind, failed.message.as_str()), (ErrorKind::InvalidRequest, message));
        }
        for list in ["", "[]", "{}", r#"{"data":[{"name":"m"}],"has_more":false}"#] {
            let failed = ModelsPage::default().cut(list.as_bytes(), &terms(&["m"])).unwrap_err();
            assert_eq!(failed.kind, ErrorKind::BadGateway, "{list}");
        }
    }

    #[test]
    fn the_whole_list_is_asked_for_with_what_else_the_query_says() {
        let page = ModelsPage::parse("limit=5&beta=true&after_id=a&x=%C3%A4").unwrap();
        assert_eq!(page.query_of_all(), "beta=true&x=%C3%A4&limit=1000");
    }
}
