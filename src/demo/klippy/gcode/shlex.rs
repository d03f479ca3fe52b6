//! Splitting the parameters of extended commands, as Python's `shlex` does for Klippy.

/// Splits `KEY=value "KEY=two words"` at blanks, with quotes and backslashes; `#` and `;` begin a comment.
/// Nothing if a quote is not closed, or a word has no `=`. Keys come in capitals.
pub(super) fn split(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        match chars.peek() {
            None | Some('#' | ';') => return Some(pairs),
            Some(_) => {
                let word = word(&mut chars)?;
                let (key, value) = word.split_once('=')?;
                pairs.push((key.to_uppercase(), value.to_owned()));
            }
        }
    }
}

/// One word. Leaves what ends it.
fn word(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut word = String::new();
    while let Some(c) = chars.next_if(|c| !c.is_ascii_whitespace() && !matches!(c, '#' | ';')) {
        match c {
            '\\' => word.push(chars.next()?),
            '\'' => loop {
                match chars.next()? {
                    '\'' => break,
                    c => word.push(c),
                }
            },
            '"' => loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => match chars.next()? {
                        c @ ('"' | '\\') => word.push(c),
                        c => word.extend(['\\', c]),
                    },
                    c => word.push(c),
                }
            },
            c => word.push(c),
        }
    }
    Some(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Option<Vec<(String, String)>> {
        split(text)
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn quotes_escapes_and_comments() {
        assert_eq!(pairs(r#" name=a msg="b c" "#), Some(vec![pair("NAME", "a"), pair("MSG", "b c")]));
        assert_eq!(
            pairs(r#"A="x\"y\\z\n" B='q\' C=a\ b"#),
            Some(vec![pair("A", "x\"y\\z\\n"), pair("B", "q\\"), pair("C", "a b")])
        );
        assert_eq!(pairs("A=1 ; B=2"), Some(vec![pair("A", "1")]));
        assert_eq!(pairs("A=1#2"), Some(vec![pair("A", "1")]));
        assert_eq!(pairs("A=b=c"), Some(vec![pair("A", "b=c")]));
        assert_eq!(pairs(""), Some(vec![]));
    }

    #[test]
    fn what_cannot_be_split() {
        for text in ["word", "A=\"open", "A='open", "A=\\", "A=1 word"] {
            assert_eq!(pairs(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text: String) {
            let _ = split(&text);
        }

        #[test]
        fn a_quoted_value_comes_out_whole(value in "[^\"\\\\]*") {
            prop_assert_eq!(split(&format!("K=\"{value}\"")), Some(vec![("K".to_owned(), value)]));
        }
    }
}
