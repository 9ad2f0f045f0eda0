//! A client of the System Health board that behaves as an admin's browser.

use std::collections::BTreeMap;

use reqwest::RequestBuilder;

use crate::{Answer, Stack};

/// A browser: it keeps cookies, sends the origin of its requests, and does not follow redirects.
#[derive(Debug, Clone)]
pub struct Browser<'a> {
    stack: &'a Stack,
    cookies: BTreeMap<String, String>,
    /// `Set-Cookie` lines of the last answer.
    pub set_cookies: Vec<String>,
}

impl Stack {
    /// Returns a browser without cookies.
    pub fn browser(&self) -> Browser<'_> {
        Browser { stack: self, cookies: BTreeMap::new(), set_cookies: Vec::new() }
    }

    /// Returns a browser in which this admin has signed in.
    pub async fn signed_in(&self, (email, password): (&str, &str)) -> Browser<'_> {
        let mut browser = self.browser();
        let answer = browser.sign_in(email, password).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        browser
    }

    /// Returns scheme, host and port of the API.
    pub fn origin(&self) -> String {
        let url = reqwest::Url::parse(self.local("url")).expect("a URL");
        url.origin().ascii_serialization()
    }
}

impl Browser<'_> {
    /// Gets a page.
    pub async fn get(&mut self, path: &str) -> Answer {
        let request = self.stack.client().get(self.stack.url(path));
        self.send(request).await
    }

    /// Sends a form in the same way as a page of the board.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        // Browsers send a null origin for a page's own forms if the page sends no referrer.
        let request = self.stack.client().post(self.stack.url(path)).header("origin", "null");
        let request = request.header("sec-fetch-site", "same-origin");
        let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"));
        self.send(request).await
    }

    /// Sends a form of a signed-in admin, with the token from the pages.
    pub async fn submit(&mut self, path: &str) -> Answer {
        let token = self.token().await;
        self.post(path, &[("csrf", &token)]).await
    }

    /// Returns the token in the forms of this session.
    pub async fn token(&mut self) -> String {
        token_of(&self.get("/admin/audit").await)
    }

    /// Fills in the sign-in form.
    pub async fn sign_in(&mut self, email: &str, password: &str) -> Answer {
        let form = self.get("/login").await;
        self.post("/login", &[("csrf", &token_of(&form)), ("email", email), ("password", password)]).await
    }

    /// Sends a request with this browser's cookies, and keeps those of the answer.
    pub async fn send(&mut self, request: RequestBuilder) -> Answer {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) };
        let response = request.send().await.expect("an answer");
        let lines = response.headers().get_all("set-cookie").iter();
        self.set_cookies = lines.map(|line| line.to_str().expect("text").to_owned()).collect();
        for line in &self.set_cookies {
            let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Answer::read(response).await
    }

    /// Returns a cookie's value, or an empty string if there is none.
    pub fn cookie(&self, name: &str) -> &str {
        self.cookies.get(name).map_or("", String::as_str)
    }

    /// Sets a cookie.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }
}

/// Returns the token in a page's forms.
pub fn token_of(page: &Answer) -> String {
    let (_, rest) = page.text().split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("no form: {page:?}"));
    rest.split('"').next().expect("a value").to_owned()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
