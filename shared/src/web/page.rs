//! Pages of a site: for a signed-in user, for a visitor, and about a problem.

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use maud::{Markup, html};

use super::answer::Answer;
use super::call::{Call, SignedIn};
use super::csrf::TOKEN_FIELD;
use super::layout::Page;
use super::site::Site;
use crate::http::{Links, Problem};

/// Creates a page for a signed-in user; `here` is the path of its tab. The browser loads it again every `refresh_secs`
/// seconds.
pub fn signed_in<S: Site>(
    call: &Call<'_, S>,
    signed_in: &SignedIn<S>,
    here: &str,
    title: &str,
    refresh_secs: Option<u32>,
    content: Markup,
) -> Answer {
    let who = html! {
        span { (S::name(&signed_in.user)) }
        (button(call, signed_in, S::SIGN_OUT, "Sign out", ""))
    };
    let links = call.links;
    Page { title, links, tabs: S::TABS, here, who: Some(who), refresh_secs, content }.into_response(StatusCode::OK)
}

/// Renders a form with one button, which POSTs to `path`. `about` tells it apart from other buttons of its name.
pub fn button<S: Site>(call: &Call<'_, S>, signed_in: &SignedIn<S>, path: &str, name: &str, about: &str) -> Markup {
    let label = (!about.is_empty()).then(|| format!("{name} {about}"));
    html! {
        form method="post" action=(call.links.to(path)) {
            input type="hidden" name=(TOKEN_FIELD) value=(signed_in.token.csrf().reveal());
            button aria-label=[label] { (name) }
        }
    }
}

/// Creates a page for a visitor without a session.
pub fn outside(links: &Links, status: StatusCode, title: &str, content: Markup) -> Answer {
    Page { title, links, tabs: &[], here: "", who: None, refresh_secs: None, content }.into_response(status)
}

/// Creates the page that explains a problem.
pub(super) fn problem<S: Site>(problem: &Problem, links: &Links, request_id: &str) -> Answer {
    let content = html! {
        div.notice.bad { p { (problem.detail) } }
        p { "This request is " code { (request_id) } "." }
        p { a href=(links.to(S::HOME.path)) { "Go to " (S::HOME.name) } }
    };
    let mut answer = outside(links, problem.status, problem.title(), content);
    if let Some(secs) = problem.retry_after {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    answer
}
