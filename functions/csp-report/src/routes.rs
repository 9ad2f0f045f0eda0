//! Routes of the intake. They are declared in template.yaml; a test compares the two lists.

/// Method and API Gateway resource of every route.
pub const ROUTES: [(&str, &str); 4] = [
    ("POST", "/csp-reports"),
    ("OPTIONS", "/csp-reports"),
    ("POST", "/csp-reports/{project}"),
    ("OPTIONS", "/csp-reports/{project}"),
];
