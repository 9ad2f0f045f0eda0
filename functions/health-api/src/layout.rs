//! Layout that the board's pages share.

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use levee::http::{Links, Problem};
use levee::pages::{Page, Tab};
use maud::{Markup, html};
use url::form_urlencoded::byte_serialize;

use crate::answer::Answer;
use crate::call::{Call, SignedIn};
use crate::gate::TOKEN_FIELD;

const TABS: [Tab; 5] = [
    Tab { path: "/admin", name: "System Health" },
    Tab { path: "/admin/errors", name: "Errors" },
    Tab { path: "/admin/requests", name: "Requests" },
    Tab { path: "/admin/accounts", name: "Accounts" },
    Tab { path: "/admin/audit", name: "Audit" },
];

/// Creates a page for a signed-in admin; `here` is the path of its tab.
pub(crate) fn page(call: &Call<'_>, admin: &SignedIn, here: &str, title: &str, content: Markup) -> Answer {
    signed_in(call, admin, here, title, None, content)
}

/// Creates the same page, which the browser loads again every `refresh_secs` seconds.
pub(crate) fn signed_in(
    call: &Call<'_>,
    admin: &SignedIn,
    here: &str,
    title: &str,
    refresh_secs: Option<u32>,
    content: Markup,
) -> Answer {
    let who = html! {
        span { (admin.session.email) " (" (admin.session.role) ")" }
        (button(call, admin, "/logout", "Sign out", ""))
    };
    let links = call.links;
    Page { title, links, tabs: &TABS, here, who: Some(who), refresh_secs, content }.into_response(StatusCode::OK)
}

/// Renders a form with one button, which POSTs to `path`. `about` tells it apart from other buttons of its name.
pub(crate) fn button(call: &Call<'_>, admin: &SignedIn, path: &str, name: &str, about: &str) -> Markup {
    let label = (!about.is_empty()).then(|| format!("{name} {about}"));
    html! {
        form method="post" action=(call.links.to(path)) {
            input type="hidden" name=(TOKEN_FIELD) value=(admin.token.csrf().reveal());
            button aria-label=[label] { (name) }
        }
    }
}

/// Creates a page for a visitor without a session.
pub(crate) fn outside(links: &Links, status: StatusCode, title: &str, content: Markup) -> Answer {
    Page { title, links, tabs: &[], here: "", who: None, refresh_secs: None, content }.into_response(status)
}

/// Creates the page that explains a problem.
pub(crate) fn problem(problem: &Problem, links: &Links, request_id: &str) -> Answer {
    let content = html! {
        div.notice.bad { p { (problem.detail) } }
        p { "This request is " code { (request_id) } "." }
        p { a href=(links.to("/admin")) { "Go to System Health" } }
    };
    let mut answer = outside(links, problem.status, problem.title(), content);
    if let Some(secs) = problem.retry_after {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    answer
}

/// Returns the link to the story of a request. The id is encoded, as it may hold slashes and equals signs.
pub(crate) fn story_link(links: &Links, request_id: &str) -> String {
    let id: String = byte_serialize(request_id.as_bytes()).collect();
    format!("{}?id={id}", links.to("/admin/requests"))
}

/// Renders a request's id as a link to its story; renders nothing without an id.
pub(crate) fn story(links: &Links, request_id: Option<&str>) -> Markup {
    html! {
        @if let Some(id) = request_id { a href=(story_link(links, id)) { code { (id) } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_escaped_in_its_link_and_in_the_page() {
        let links = Links::configured("https://levee.example/prod").unwrap();
        assert_eq!(story_link(&links, "/I35jLf+A2CvdI="), "/prod/admin/requests?id=%2FI35jLf%2BA2CvdI%3D");
        assert_eq!(
            story(&links, Some("<b>")).into_string(),
            r#"<a href="/prod/admin/requests?id=%3Cb%3E"><code>&lt;b&gt;</code></a>"#
        );
        assert_eq!(story(&links, None).into_string(), "");
    }
}
