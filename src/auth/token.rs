//! Tokens: JWTs that are signed with EdDSA over Ed25519 (spec behaviour.md §4.2).

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::{password, random};
use crate::api::{Error, Result};

/// How long an access token is good for, in seconds.
pub const ACCESS_LIFE: u64 = 3600;

/// The longest token that is looked at, in bytes. Ours are about 400, with a long user name 800.
pub const MAX_TOKEN: usize = 2048;

/// Whom tokens are for.
const AUDIENCE: &str = "Moonraker";

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Use {
    /// To call.
    Access,
    /// To get a new token to call.
    Refresh,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    iat: u64,
    exp: u64,
    username: String,
    token_type: Use,
}

/// The key that signs the tokens of one user. When it goes, they all end.
#[derive(Clone)]
pub(super) struct UserKey {
    /// The name that tokens call it by.
    pub(super) id: String,
    seed: [u8; 32],
    public: [u8; 32],
}

impl UserKey {
    /// A new one.
    ///
    /// # Errors
    /// 500 without random numbers from the system.
    pub(super) fn new() -> Result<Self> {
        use base64::Engine;
        let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random::bytes::<32>()?);
        Self::of_seed(id, random::bytes()?).ok_or_else(|| Error::internal("The key for tokens is not usable"))
    }

    /// From the columns `jwk_id` and `jwt_secret` of the table of users.
    pub(super) fn stored(id: &str, secret: &str) -> Option<Self> {
        let seed = password::unhex(secret)?.try_into().ok()?;
        Self::of_seed(id.to_owned(), seed)
    }

    fn of_seed(id: String, seed: [u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { id, seed, public })
    }

    /// What is stored of it: hexadecimal digits.
    pub(super) fn secret(&self) -> String {
        random::hex(&self.seed)
    }
}

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// It was, up to some time.
    Expired,
    /// It never was.
    Forged,
}

/// What all tokens of this server have in common.
#[derive(Debug)]
pub(super) struct Tokens {
    issuer: String,
    refresh_life: u64,
}

impl Tokens {
    /// Tokens of this issuer; those to refresh others live so many days.
    pub(super) fn new(issuer: String, refresh_days: u32) -> Self {
        // the process may have done so in an earlier run
        let _ = PROVIDER.install_default();
        Self { issuer, refresh_life: u64::from(refresh_days) * 24 * 3600 }
    }

    /// A token for a user; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// 500 when it cannot be signed.
    pub(super) fn sign(&self, user: &str, key: &UserKey, token_type: Use, now: u64) -> Result<String> {
        let life = match token_type {
            Use::Access => ACCESS_LIFE,
            Use::Refresh => self.refresh_life,
        };
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            iat: now,
            exp: now.saturating_add(life),
            username: user.to_owned(),
            token_type,
        };
        let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&key.seed))
            .map_err(|error| Error::internal("The token cannot be signed").caused_by(error))
    }

    /// Checks a token against the key that it names, which `find` knows with the name of its user.
    pub(super) fn verify(
        &self,
        token: &str,
        wanted: Use,
        find: impl FnOnce(&str) -> Option<(std::sync::Arc<str>, UserKey)>,
    ) -> std::result::Result<std::sync::Arc<str>, Bad> {
        if token.len() > MAX_TOKEN {
            return Err(Bad::Forged);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Bad::Forged)?;
        let key_id = header.kid.ok_or(Bad::Forged)?;
        let (user, key) = find(&key_id).ok_or(Bad::Forged)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = 0;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        let decoded =
            jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(&key.public), &validation);
        let claims = decoded.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => Bad::Expired,
            _ => Bad::Forged,
        })?;
        let claims = claims.claims;
        let fits = claims.token_type == wanted && claims.username == *user;
        if fits { Ok(user) } else { Err(Bad::Forged) }
    }
}

/// Ed25519 by ring, which TLS uses too. jsonwebtoken's own providers bring every other algorithm with them.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::EdDSA => Ok(Box::new(Ed25519Signer(key.clone()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::EdDSA => Ok(Box::new(Ed25519Verifier(key.clone()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Signs with the seed in the key.
struct Ed25519Signer(EncodingKey);

impl Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(self.0.as_bytes()).map_err(|_| SignatureError::new())?;
        Ok(pair.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

/// Verifies with the public key in the key.
struct Ed25519Verifier(DecodingKey);

impl Verifier<Vec<u8>> for Ed25519Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        let key = self.0.try_get_as_bytes().map_err(SignatureError::from_source)?;
        UnparsedPublicKey::new(&ED25519, key).verify(message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;
    use crate::time::unix_seconds;

    const ISSUER: &str = "http://vm:7125";

    fn setup() -> (Tokens, UserKey) {
        (Tokens::new(ISSUER.to_owned(), 90), UserKey::new().unwrap())
    }

    fn verify(tokens: &Tokens, key: &UserKey, token: &str, wanted: Use) -> std::result::Result<(), Bad> {
        let find = |id: &str| (id == key.id).then(|| ("anna".into(), key.clone()));
        tokens.verify(token, wanted, find).map(|user| assert_eq!(&*user, "anna"))
    }

    /// A token with any header and claims, signed with a key.
    fn forge(key: &UserKey, header: &str, claims: &str) -> String {
        let body = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let pair = Ed25519KeyPair::from_seed_unchecked(&key.seed).unwrap();
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(body.as_bytes()));
        format!("{body}.{signature}")
    }

    #[test]
    fn a_token_is_good_for_what_it_was_made_for() {
        let (tokens, key) = setup();
        let now = unix_seconds();
        for (made, wanted) in [(Use::Access, Use::Refresh), (Use::Refresh, Use::Access)] {
            let token = tokens.sign("anna", &key, made, now).unwrap();
            assert_eq!(verify(&tokens, &key, &token, made), Ok(()));
            assert_eq!(verify(&tokens, &key, &token, wanted), Err(Bad::Forged), "the other kind");
        }
        let old = tokens.sign("anna", &key, Use::Access, now - ACCESS_LIFE - 1).unwrap();
        assert_eq!(verify(&tokens, &key, &old, Use::Access), Err(Bad::Expired));
        let other = tokens.sign("bob", &key, Use::Access, now).unwrap();
        assert_eq!(verify(&tokens, &key, &other, Use::Access), Err(Bad::Forged), "another user's name");
    }

    #[test]
    fn moonrakers_tokens_are_read() {
        // of the data folder that a real Moonraker wrote; it has expired since
        let key = UserKey::stored(
            "0Tyf9opObWvrvWU6UBzue3UWFV_WNePgSh-iBnpIzmQ",
            "e4ddc416fb55f4086306850e0693838031c2c5d245331042dda3267258cee1ce",
        )
        .unwrap();
        let token = "eyJraWQiOiIwVHlmOW9wT2JXdnJ2V1U2VUJ6dWUzVVdGVl9XTmVQZ1NoLWlCbnBJem1RIiwiYWxnIjoiRWREU0EiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwOi8vdm06NzEyNSIsImF1ZCI6Ik1vb25yYWtlciIsImlhdCI6MTc5NTIzNDIwNSwiZXhwIjoxNzk1MjM3ODA1LCJ1c2VybmFtZSI6ImFubmEiLCJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.mb7-epW-2F-TpbR4NjeTA5OLRjDC69OObiD5QqeCg4mAnrLufLaTFaTnXlMtzn7cM9oVnGERvP7EZXyZTUzkAw";
        let (tokens, _) = setup();
        let expired = unix_seconds() > 1_795_237_805;
        let expected = if expired { Err(Bad::Expired) } else { Ok(()) };
        assert_eq!(verify(&tokens, &key, token, Use::Access), expected);
        let elsewhere = Tokens::new("http://other:7125".to_owned(), 90);
        assert!(verify(&elsewhere, &key, token, Use::Access).is_err(), "of another server");
    }

    #[test]
    fn forged_tokens_are_refused() {
        let (tokens, key) = setup();
        let exp = unix_seconds() + 60;
        let head = |alg: &str| format!(r#"{{"kid":"{}","alg":"{alg}","typ":"JWT"}}"#, key.id);
        let claims = |change: &str| {
            let mut claims = serde_json::json!({
                "iss": ISSUER, "aud": "Moonraker", "iat": 0, "exp": exp, "username": "anna", "token_type": "access"
            });
            let change: serde_json::Map<String, serde_json::Value> = serde_json::from_str(change).unwrap();
            for (name, value) in change {
                match value.is_null() {
                    true => drop(claims.as_object_mut().unwrap().remove(&name)),
                    false => claims[name] = value,
                }
            }
            claims.to_string()
        };
        let good = forge(&key, &head("EdDSA"), &claims("{}"));
        assert_eq!(verify(&tokens, &key, &good, Use::Access), Ok(()));
        for alg in ["none", "None", "HS256", "HS512", "RS256", "ES256", "PS512", "eddsa", ""] {
            let token = forge(&key, &head(alg), &claims("{}"));
            assert_eq!(verify(&tokens, &key, &token, Use::Access), Err(Bad::Forged), "{alg}");
            let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
            assert_eq!(verify(&tokens, &key, &unsigned, Use::Access), Err(Bad::Forged), "{alg} unsigned");
        }
        for change in [
            r#"{"iss": "http://other:7125"}"#,
            r#"{"iss": null}"#,
            r#"{"aud": "Other"}"#,
            r#"{"aud": null}"#,
            r#"{"exp": null}"#,
            r#"{"exp": "9999999999"}"#,
            r#"{"exp": -1}"#,
            r#"{"username": "bob"}"#,
            r#"{"username": null}"#,
            r#"{"token_type": "refresh"}"#,
            r#"{"token_type": "auth"}"#,
            r#"{"token_type": null}"#,
        ] {
            let token = forge(&key, &head("EdDSA"), &claims(change));
            assert_eq!(verify(&tokens, &key, &token, Use::Access), Err(Bad::Forged), "{change}");
        }
        let other = UserKey { id: key.id.clone(), ..UserKey::new().unwrap() };
        let token = forge(&other, &head("EdDSA"), &claims("{}"));
        assert_eq!(verify(&tokens, &key, &token, Use::Access), Err(Bad::Forged), "another key");
        let nameless = forge(&key, r#"{"alg":"EdDSA"}"#, &claims("{}"));
        assert_eq!(verify(&tokens, &key, &nameless, Use::Access), Err(Bad::Forged));
    }

    proptest! {
        #[test]
        fn any_text_is_refused(text in ".*") {
            let (tokens, key) = setup();
            prop_assert_eq!(verify(&tokens, &key, &text, Use::Access), Err(Bad::Forged));
        }

        #[test]
        fn any_change_is_noticed(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_.-]") {
            let (tokens, key) = setup();
            let token = tokens.sign("anna", &key, Use::Access, unix_seconds()).unwrap();
            let at = at.index(token.len());
            let changed = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
            prop_assume!(changed != token);
            prop_assert_eq!(verify(&tokens, &key, &changed, Use::Access), Err(Bad::Forged));
        }
    }
}
