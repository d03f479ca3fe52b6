//! Bodies of type multipart/form-data, part by part in the order given, as the slicers send them.

use super::{Http, Request};

/// Where uploads go.
const UPLOAD: &str = "/server/files/upload";
const BOUNDARY: &str = "----perigee-test-boundary-7MA4YWxkTrZu0gW";

/// A form under construction.
#[derive(Debug, Clone, Default)]
pub struct Multipart {
    body: Vec<u8>,
}

impl Multipart {
    pub fn new() -> Self {
        Self::default()
    }

    /// A part with these lines after `Content-Disposition: form-data; `, such as `name="root"`.
    #[must_use]
    pub fn part(mut self, disposition: &str, more_headers: &str, content: impl AsRef<[u8]>) -> Self {
        self.body.extend(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n{more_headers}\r\n",)
                .into_bytes(),
        );
        self.body.extend(content.as_ref());
        self.body.extend(b"\r\n");
        self
    }

    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.part(&format!("name=\"{name}\""), "", value)
    }

    #[must_use]
    pub fn file(self, filename: &str, content: impl AsRef<[u8]>) -> Self {
        self.part(
            &format!("name=\"file\"; filename=\"{filename}\""),
            "Content-Type: application/octet-stream\r\n",
            content,
        )
    }

    /// The body up to here, without the end of the form.
    pub fn unfinished(self) -> Vec<u8> {
        self.body
    }

    /// The head of an upload whose body has this length, for tests that send the body piece by piece.
    pub fn head(length: usize) -> String {
        Request::post(UPLOAD)
            .header("Content-Type", &Self::content_type())
            .header("Content-Length", &length.to_string())
            .head("x")
    }

    pub fn into_body(mut self) -> Vec<u8> {
        self.body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
        self.body
    }

    pub fn content_type() -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }

    /// As the body of a `POST`.
    pub fn post(self, target: &str) -> Request {
        Request::post(target).body(&Self::content_type(), self.into_body())
    }

    /// As an upload.
    pub fn upload(self) -> Request {
        self.post(UPLOAD)
    }

    /// As an upload whose length is not announced, in pieces of this size. The answer is still to be read.
    pub fn upload_in_pieces(self, http: &mut Http, size: usize) {
        let head = Request::post(UPLOAD)
            .header("Content-Type", &Self::content_type())
            .header("Transfer-Encoding", "chunked")
            .head("x");
        http.write(head.as_bytes()).unwrap();
        http.write_chunked(&self.into_body(), size);
    }
}
