//! What is in force: the material that who enters is held against, read from files and settings.
//!
//! Invariant: each piece is read as a whole and then replaced as a whole; whoever is being looked
//! at keeps the pieces that it began with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::hashing::{Hashing, WAITING_MAX};
use crate::auth::Identity;
use crate::auth::acl::Acl;
use crate::auth::jwt::{Keys, Rules};
use crate::auth::password::PasswordFile;
use crate::auth::quota::{Excess, Quota, Quotas};
use crate::auth::throttle::ThrottleLimits;
use crate::config::{self, Listener, Method, Settings, UserFrom};
use crate::server::hook::{Hook, HookCounts, HookRules, Token};
use crate::server::secrets;

/// A file that is read into memory as a whole is not larger.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// One listener's rules.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    /// in the order in which they are tried
    pub(super) methods: Arc<[Method]>,
    pub(super) allow_anonymous: bool,
    /// the user name is the certificate's, if there is one
    pub(super) user_from_certificate: bool,
    /// for the hook
    pub(super) address: Arc<str>,
}

/// Keys of tokens, and what else they must say.
pub(super) struct Tokens {
    pub(super) keys: Arc<Keys>,
    pub(super) rules: Rules,
}

/// All of it; cheap to clone.
#[derive(Clone)]
pub(super) struct Force {
    pub(super) listeners: Arc<[Ways]>,
    pub(super) passwords: Option<Arc<PasswordFile>>,
    pub(super) tokens: Option<Arc<Tokens>>,
    pub(super) hook: Option<Arc<Hook>>,
    pub(super) hashing: Arc<Hashing>,
    pub(super) acl: Arc<Acl>,
    pub(super) quotas: Arc<Quotas>,
    pub(super) anonymous: Arc<Identity>,
    /// the least time from looking at a wrong password to the answer
    pub(super) wrong_answer_ms: u64,
}

/// The pieces that files make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Passwords,
    Tokens,
    Acl,
    Hook,
}

impl Piece {
    pub(crate) const ALL: [Self; 4] = [Self::Passwords, Self::Tokens, Self::Acl, Self::Hook];

    /// What it is called in log lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Passwords => "password file",
            Self::Tokens => "keys of tokens",
            Self::Acl => "ACL file",
            Self::Hook => "files of the hook",
        }
    }

    /// The files that it is made of.
    pub(crate) fn paths(self, auth: &config::Auth) -> Vec<PathBuf> {
        let files: &[&Option<PathBuf>] = match self {
            Self::Passwords => &[&auth.password_file],
            Self::Tokens => &[&auth.jwt_key_file, &auth.jwt_secret_file, &auth.jwks_file],
            Self::Acl => &[&auth.acl_file],
            Self::Hook => &[&auth.hook_ca_file, &auth.hook_token_file],
        };
        files.iter().filter_map(|file| file.as_ref()).cloned().collect()
    }
}

impl Force {
    /// Everything, as the settings say it.
    ///
    /// # Errors
    /// The first piece that is broken.
    pub(super) fn read(
        settings: &Settings,
        random: [u8; 32],
        counts: &Arc<HookCounts>,
    ) -> Result<Self, String> {
        let auth = &settings.auth;
        let mut force = Self {
            listeners: Arc::from([]),
            passwords: None,
            tokens: None,
            hook: None,
            hashing: hashing(auth),
            acl: Arc::new(Acl::open()),
            quotas: Arc::default(),
            anonymous: Arc::default(),
            wrong_answer_ms: 0,
        };
        force.set(settings);
        for piece in Piece::ALL {
            force.replace(piece, auth, random, counts)?;
        }
        Ok(force)
    }

    /// What needs no file.
    pub(super) fn set(&mut self, settings: &Settings) {
        self.listeners = settings.listener.iter().map(|one| ways(settings, one)).collect();
        self.quotas = Arc::new(quotas(settings));
        self.wrong_answer_ms = settings.auth.wrong_password_delay_ms;
    }

    /// New numbers of hashes and bytes: those under way go on beside the new ones.
    pub(super) fn set_hashing(&mut self, auth: &config::Auth) {
        self.hashing = hashing(auth);
    }

    /// Reads a piece and puts it in its place.
    ///
    /// # Errors
    /// What is wrong, with file and line: nothing has changed then.
    pub(super) fn replace(
        &mut self,
        piece: Piece,
        auth: &config::Auth,
        random: [u8; 32],
        counts: &Arc<HookCounts>,
    ) -> Result<(), String> {
        match piece {
            Piece::Passwords => self.passwords = passwords(auth)?,
            Piece::Tokens => self.tokens = tokens(auth)?,
            Piece::Acl => self.acl = acl(auth)?,
            Piece::Hook => self.hook = hook(auth, random, counts)?,
        }
        // Who has no name is asked about as well, where the hook is to know everything.
        let asks = auth.hook_acl && self.hook.is_some();
        if self.anonymous.asks != asks {
            self.anonymous = Arc::new(Identity { asks, ..Identity::default() });
        }
        Ok(())
    }
}

pub(super) fn throttle_limits(auth: &config::Auth) -> ThrottleLimits {
    ThrottleLimits::new(auth.wrong_password_delay_ms, auth.wrong_password_delay_max_ms)
}

fn hashing(auth: &config::Auth) -> Arc<Hashing> {
    let (count, bytes) = (auth.hashes_concurrent_max, auth.hash_memory_bytes_max);
    Arc::new(Hashing::new(count, bytes, WAITING_MAX))
}

fn ways(settings: &Settings, listener: &Listener) -> Ways {
    Ways {
        methods: settings.methods(listener).into(),
        allow_anonymous: listener.allow_anonymous,
        user_from_certificate: listener.user_from != UserFrom::Connect,
        address: listener.address.as_str().into(),
    }
}

fn quotas(settings: &Settings) -> Quotas {
    let patterns = |list: &[String]| list.iter().map(|p| p.as_str().into()).collect();
    let quota = |(n, quota): (usize, &config::Quota)| Quota {
        name: format!("quota {}", n + 1),
        users: patterns(&quota.users),
        client_ids: patterns(&quota.client_ids),
        messages_per_s: quota.messages_per_s,
        bytes_per_s: quota.bytes_per_s,
        excess: match quota.on_excess {
            config::Excess::Throttle => Excess::Throttle,
            config::Excess::Drop => Excess::Drop,
            config::Excess::Disconnect => Excess::Disconnect,
        },
        subscriptions_max: quota.subscriptions_max,
        retained_messages_max: quota.retained_messages_max,
        queued_bytes_max: quota.queued_bytes_max,
        connections_max: quota.connections_max,
    };
    Quotas::new(settings.quota.iter().enumerate().map(quota).collect())
}

fn passwords(auth: &config::Auth) -> Result<Option<Arc<PasswordFile>>, String> {
    let Some(path) = &auth.password_file else { return Ok(None) };
    let file = PasswordFile::parse(&text(path)?).map_err(|e| in_line(path, e.line, &e.what))?;
    let name = path.display();
    for line in file.repeated() {
        tracing::warn!("{name}:{line}: this user is there already: the first line counts");
    }
    Ok(Some(Arc::new(file)))
}

fn tokens(auth: &config::Auth) -> Result<Option<Arc<Tokens>>, String> {
    let broken = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let keys = if let Some(path) = &auth.jwt_key_file {
        Keys::from_pem(&text(path)?).map_err(|error| broken(path, &error))?
    } else if let Some(path) = &auth.jwt_secret_file {
        Keys::from_secret(secret(&read(path)?)).map_err(|error| broken(path, &error))?
    } else if let Some(path) = &auth.jwks_file {
        Keys::from_jwks(&text(path)?).map_err(|error| broken(path, &error))?
    } else {
        return Ok(None);
    };
    let rules = Rules {
        issuer: auth.jwt_issuer.clone(),
        audience: auth.jwt_audience.clone(),
        user_claim: auth.jwt_user_claim.clone(),
        leeway_s: auth.jwt_leeway_s,
        ..Rules::default()
    };
    Ok(Some(Arc::new(Tokens { keys: Arc::new(keys), rules })))
}

fn acl(auth: &config::Auth) -> Result<Arc<Acl>, String> {
    let acl = match &auth.acl_file {
        None => Acl::open(),
        Some(path) => {
            let text = text(path)?;
            let read = match auth.acl_is_toml() {
                true => Acl::from_toml(&text),
                false => Acl::from_mosquitto(&text),
            };
            read.map_err(|error| {
                let mut told = in_line(path, error.line, &error.what);
                for other in &error.more {
                    told += "; ";
                    told += &in_line(path, other.line, &other.what);
                }
                told
            })?
        }
    };
    let roles: Vec<Arc<str>> = auth.sys_roles.iter().map(|role| role.as_str().into()).collect();
    Ok(Arc::new(acl.with_sys_roles(&roles)))
}

fn hook(
    auth: &config::Auth,
    random: [u8; 32],
    counts: &Arc<HookCounts>,
) -> Result<Option<Arc<Hook>>, String> {
    let Some(url) = &auth.hook_url else { return Ok(None) };
    let rules = HookRules {
        url: url.clone(),
        ca_file: auth.hook_ca_file.clone().unwrap_or_default(),
        token: auth.hook_token_file.as_deref().map(hook_token).transpose()?,
        timeout_ms: auth.hook_timeout_ms,
        cache_s: auth.hook_cache_s,
        concurrent_max: auth.hook_concurrent_max,
    };
    Ok(Some(Arc::new(Hook::new(&rules, random, Arc::clone(counts))?)))
}

fn hook_token(path: &Path) -> Result<Token, String> {
    Token::new(secret(&read(path)?)).map_err(|error| format!("{}: {error}", path.display()))
}

/// Where in a file something is wrong.
fn in_line(path: &Path, line: usize, what: &dyn std::fmt::Display) -> String {
    format!("{}:{line}: {what}", path.display())
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    secrets::read(path, FILE_BYTES_MAX).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(path: &Path) -> Result<Zeroizing<String>, String> {
    let mut bytes = read(path)?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = Zeroizing::new(error.into_bytes());
            let line = 1 + bytes.iter().take(at).filter(|b| **b == b'\n').count();
            Err(in_line(path, line, &"this is not UTF-8"))
        }
    }
}

/// A secret without the line's end that editors leave behind it.
fn secret(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}
