//! The story of one request.

use std::time::Duration;

use levee::clock::Timestamp;
use levee::stores::logs::is_request_id;
use levee::story::Story;
use maud::{Markup, html};

use crate::answer::Answer;
use crate::call::{Call, SignedIn};
use crate::failed::Failed;
use crate::layout;

const PAGE: &str = "/admin/requests";
/// How far back logs are searched.
const SEARCHED: Duration = Duration::from_secs(24 * 3600);
/// How long a search may take.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(10);

/// A form to type a request's id, and the story of the one that was typed.
pub(crate) async fn page(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, Failed> {
    let id = call.query("id");
    let found = match id {
        None => html! {},
        Some(id) if !is_request_id(id) => {
            html! {
                div.notice.warn role="alert" {
                    p { "That is no request id. One looks like " code { "/I35jLf7JA2CvdI=" } "." }
                }
            }
        }
        Some(id) => told(id, find(call, id).await?.as_ref()),
    };
    let content = html! {
        form.row method="get" action=(call.links.to(PAGE)) role="search" aria-label="Find a request" {
            label {
                "Request id, from the header " code { "x-levee-request-id" } " or an error's body"
                input name="id" value=(id.unwrap_or_default()) maxlength="128" required;
            }
            button { "Tell its story" }
        }
        (found)
    };
    Ok(layout::page(call, admin, PAGE, "Requests", content))
}

async fn find(call: &Call<'_>, id: &str) -> Result<Option<Story>, Failed> {
    let since = Timestamp::from_millis(call.now.as_millis().saturating_sub(SEARCHED.as_millis() as u64));
    let lines = call.state.logs.find(id, since, call.now, SEARCH_TIMEOUT).await.map_err(Failed::logs)?;
    Ok(Story::tell(id, lines.iter().map(String::as_str)))
}

fn told(id: &str, story: Option<&Story>) -> Markup {
    html! {
        h2 { "Request " code { (id) } }
        @match story {
            Some(story) => dl {
                @for sentence in story.sentences() {
                    dt { (sentence.label) }
                    dd { (sentence.text) }
                }
            },
            None => div.notice {
                p { "Nothing was logged about this request in the last 24 hours." }
                ul {
                    li { "Logs take some seconds to arrive: load this page again." }
                    li { "Check the id for a character that was lost; it often begins with a slash and ends with =." }
                    li { "An older request: " code { "levee why ID --since 7d" } " looks further back." }
                    li { "A request to another stack has its story there." }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_request_gets_advice() {
        let page = told("/I35=", None).into_string();
        assert!(page.contains("Nothing was logged") && page.contains("levee why"), "{page}");
    }
}
