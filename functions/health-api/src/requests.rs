//! Page with the story of one request, which is told from the functions' logs.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use levee::clock::Timestamp;
use levee::stores::logs::is_request_id;
use levee::story::Story;
use levee::sync::lock;
use levee::web::{Answer, WebError};
use maud::{Markup, html};

use crate::site::{Call, SignedIn};
use crate::{error, layout};

const PAGE: &str = "/admin/requests";
/// Period of the logs that is searched.
const SEARCHED: Duration = Duration::from_secs(24 * 3600);
/// Time-out of a search.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Shortest text that is searched for, in characters. A shorter one would match too many lines.
const SHORTEST_ID: usize = 8;
/// Time for which an environment remembers a story.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Maximum number of stories that an environment remembers.
const MOST_REMEMBERED: usize = 32;

/// Shows a form for a request's id, and the story of the request that was entered.
pub(crate) async fn page(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
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
        Some(id) if id.len() < SHORTEST_ID => {
            html! {
                div.notice.warn role="alert" {
                    p {
                        "A request id has at least " (SHORTEST_ID) " characters: a part of one is in too many log lines. \
                         Copy all of it."
                    }
                }
            }
        }
        Some(id) => story_section(id, story(call, id).await?.as_ref()),
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

async fn story(call: &Call<'_>, id: &str) -> Result<Option<Story>, WebError> {
    if let Some(story) = call.state.stories.get(id, call.now) {
        return Ok(Some(story));
    }
    // Search the logs. Remember the story only if it is complete.
    let story = find(call, id).await?;
    if let Some(story) = story.as_ref().filter(|story| is_whole(story)) {
        call.state.stories.remember(id, story.clone(), call.now);
    }
    Ok(story)
}

/// Returns true if a story is complete: its request was answered, or refused by the authorizer.
fn is_whole(story: &Story) -> bool {
    let passed = |verdict: &str| ["allowed", "unchecked"].iter().any(|it| verdict.starts_with(it));
    story.sentences().iter().any(|sentence| match sentence.label {
        "answer" => true,
        "verdict" => !passed(&sentence.text),
        _ => false,
    })
}

/// Cache of the stories that were shown last, so that loading one again searches no logs.
#[derive(Debug, Default)]
pub(crate) struct Stories(Mutex<VecDeque<(String, Story, Timestamp)>>);

impl Stories {
    fn get(&self, id: &str, now: Timestamp) -> Option<Story> {
        let stories = lock(&self.0);
        let is_fresh = |at: Timestamp| at <= now && now < at.plus(REMEMBERED);
        stories.iter().rev().find(|(it, _, at)| it == id && is_fresh(*at)).map(|(_, story, _)| story.clone())
    }

    fn remember(&self, id: &str, story: Story, now: Timestamp) {
        let mut stories = lock(&self.0);
        // Replace an older copy, and evict the oldest story if there are too many.
        stories.retain(|(it, ..)| it != id);
        stories.push_back((id.to_owned(), story, now));
        if stories.len() > MOST_REMEMBERED {
            stories.pop_front();
        }
    }
}

async fn find(call: &Call<'_>, id: &str) -> Result<Option<Story>, WebError> {
    let since = call.now.minus(SEARCHED);
    let lines = call.state.logs.find(id, since, call.now, SEARCH_TIMEOUT).await.map_err(error::logs)?;
    Ok(Story::tell(id, lines.iter().map(String::as_str)))
}

fn story_section(id: &str, story: Option<&Story>) -> Markup {
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

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn story(id: &str, lines: &[&str]) -> Story {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| format!(r#"{{"timestamp":"2023-11-14T22:13:20Z","request.id":"{id}",{line}}}"#))
            .collect();
        Story::tell(id, lines.iter().map(String::as_str)).unwrap()
    }

    #[test]
    fn a_story_is_told_again_for_a_minute_and_the_oldest_gives_way() {
        let stories = Stories::default();
        let told = story("first", &[r#""status":200"#]);
        stories.remember("first", told.clone(), NOW);
        assert_eq!(stories.get("first", NOW.plus(REMEMBERED - Duration::from_millis(1))), Some(told.clone()));
        assert_eq!(stories.get("first", NOW.plus(REMEMBERED)), None);
        assert_eq!(stories.get("other", NOW), None);
        for number in 1..MOST_REMEMBERED {
            stories.remember(&number.to_string(), told.clone(), NOW);
            stories.remember(&number.to_string(), told.clone(), NOW);
        }
        assert!(stories.get("first", NOW).is_some(), "one more than once takes one place");
        stories.remember("one too many", told, NOW);
        assert!(stories.get("first", NOW).is_none() && stories.get("1", NOW).is_some());
    }

    #[test]
    fn a_story_is_whole_when_its_request_was_answered_or_refused() {
        let authorizer = |verdict: &str| format!(r#""Function":"authorizer","verdict":"{verdict}""#);
        let served = r#""Function":"ai-proxy","status":200,"outcome":"ok""#;
        assert!(is_whole(&story("1", &[&authorizer("allowed"), served])));
        assert!(is_whole(&story("1", &[&authorizer("limited")])));
        assert!(!is_whole(&story("1", &[&authorizer("allowed")])));
        assert!(!is_whole(&story("1", &[&authorizer("unchecked")])));
    }

    #[test]
    fn an_unknown_request_gets_advice() {
        let page = story_section("/I35=", None).into_string();
        assert!(page.contains("Nothing was logged") && page.contains("levee why"), "{page}");
    }
}
