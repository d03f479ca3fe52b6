//! Cameras: `server.webcams.*` (spec api.md §10, behaviour.md §11).
//!
//! Sections `[webcam <name>]`. Namespace `webcams`: id → record in the form that front-ends wrote before there
//! were endpoints. Notification `notify_webcams_changed`. Records are read at each call, so what an old front-end
//! writes into the namespace counts at once.

mod camera;
mod probe;
mod stored;

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::{Call, Endpoint, Error, Event, Events, NoParams, Notification, Reply, Result};
use crate::storage::{self, Read, ReadDocuments, Storage};

pub use camera::{Camera, Source, is_aspect_ratio, is_rotation};
use camera::{Changes, ExtraData};

/// The namespace of this part.
const NAMESPACE: &str = "webcams";
/// How many cameras may be kept.
const MAX_CAMERAS: usize = 100;

/// The cameras.
pub struct Webcam {
    storage: Storage,
    events: Arc<Events>,
    /// Those of the configuration.
    configured: Vec<Camera>,
}

/// Which camera is meant: by its id, else by its name.
#[derive(Deserialize)]
struct Which {
    uid: Option<String>,
    name: Option<String>,
}

#[derive(Serialize)]
struct One<'a> {
    webcam: &'a Camera,
}

#[derive(Serialize)]
struct All<'a> {
    webcams: &'a [Camera],
}

impl Webcam {
    /// Offers the cameras of the configuration and those in the database. `instance` is the id of this server's
    /// data folder, from which the former get ids that stay the same.
    pub fn new(configured: Vec<Camera>, instance: &str, storage: Storage, events: Arc<Events>) -> Arc<Self> {
        let instance = u128::from_str_radix(instance, 16).unwrap_or_default();
        let identified = configured.into_iter().map(|camera| camera.identified(instance));
        Arc::new(Self { storage, events, configured: identified.collect() })
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        let item = "/server/webcams/item";
        vec![
            Endpoint::get("server.webcams.list", "/server/webcams/list").read_only().to(self, Self::list),
            Endpoint::get("server.webcams.get_item", item).read_only().to(self, Self::get_item),
            Endpoint::post("server.webcams.post_item", item).operator().to(self, Self::post_item),
            Endpoint::delete("server.webcams.delete_item", item).operator().to(self, Self::delete_item),
            Endpoint::post("server.webcams.test", "/server/webcams/test").operator().to(self, Self::test),
        ]
    }

    /// All cameras: those of the configuration first. One in the database that bears the name of one of them is
    /// hidden by it.
    fn all(&self, view: &(impl Read + ?Sized)) -> storage::Result<Vec<Camera>> {
        let mut cameras = self.configured.clone();
        view.each_record(NAMESPACE, &mut |uid, text| {
            match stored::read(uid, text) {
                Ok(camera) if find(&cameras, None, Some(&camera.name)).is_none() => cameras.push(camera),
                Ok(hidden) => log::debug!("webcam: '{}' is there twice", hidden.name),
                Err(error) => log::warn!("webcam: the record {uid} is no camera: {error}"),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(cameras)
    }

    async fn list(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let cameras = self.storage.read(|view| self.all(view))?;
        Ok(Reply::of(&All { webcams: &cameras }))
    }

    async fn get_item(self: Arc<Self>, call: Call<Which>) -> Result<Reply> {
        Ok(Reply::of(&One { webcam: &self.get(&call.params)? }))
    }

    fn get(&self, which: &Which) -> Result<Camera> {
        let cameras = self.storage.read(|view| self.all(view))?;
        let found = which.find(&cameras)?.ok_or_else(|| which.missing())?;
        Ok(found.clone())
    }

    async fn post_item(self: Arc<Self>, call: Call<Changes>) -> Result<Reply> {
        let changes = call.params;
        let part = self.clone();
        let camera = self.storage.write(move |writer| {
            let cameras = part.all(writer)?;
            let camera = changed(&cameras, changes)?;
            let known = writer.record(NAMESPACE, &camera.uid)?;
            let record = stored::write(&camera, known.as_deref());
            writer.put_record(NAMESPACE, &camera.uid, &record)?;
            Ok(camera)
        });
        let camera = camera.await?;
        self.tell();
        Ok(Reply::of(&One { webcam: &camera }))
    }

    async fn delete_item(self: Arc<Self>, call: Call<Which>) -> Result<Reply> {
        let camera = self.get(&call.params)?;
        camera.refuse_configured("delete")?;
        let uid = camera.uid.clone();
        self.storage.write(move |writer| writer.delete_record(NAMESPACE, &uid)).await?;
        self.tell();
        Ok(Reply::of(&One { webcam: &camera }))
    }

    async fn test(self: Arc<Self>, call: Call<Which>) -> Result<Reply> {
        let camera = self.get(&call.params)?;
        Ok(Reply::of(&probe::test(&camera).await))
    }

    /// Tells clients of a change, also of one that left everything as it was (spec notifications.md row 23).
    fn tell(&self) {
        match self.storage.read(|view| self.all(view)) {
            Ok(cameras) => {
                let all = All { webcams: &cameras };
                self.events.emit(&Event::Notify(Notification::new("notify_webcams_changed", &all)));
            }
            Err(error) => log::warn!("webcam: clients were not told of a change: {error}"),
        }
    }
}

impl Which {
    fn find<'a>(&self, cameras: &'a [Camera]) -> Result<Option<&'a Camera>> {
        if self.uid.is_none() && self.name.is_none() {
            return Err(Error::bad_request("No data for argument: name"));
        }
        Ok(find(cameras, self.uid.as_deref(), self.name.as_deref()))
    }

    fn missing(&self) -> Error {
        match (&self.uid, &self.name) {
            (Some(uid), _) => Error::not_found(format!("Webcam with UID {uid} not found")),
            (None, name) => {
                Error::not_found(format!("Webcam {} not found", name.as_deref().unwrap_or_default()))
            }
        }
    }
}

/// The camera with this id; without an id, the one with this name.
fn find<'a>(cameras: &'a [Camera], uid: Option<&str>, name: Option<&str>) -> Option<&'a Camera> {
    cameras.iter().find(|camera| match uid {
        Some(uid) => camera.uid == uid,
        None => Some(camera.name.as_str()) == name,
    })
}

/// What a POST makes of the cameras that there are: a change of one, or a new one.
fn changed(cameras: &[Camera], changes: Changes) -> storage::Result<Camera> {
    let which = Which { uid: changes.uid.clone(), name: changes.name.clone() };
    let refuse = |error: Error| storage::Error::bad_request(error.message().to_owned());
    let known = which.find(cameras).map_err(refuse)?;
    if which.uid.is_some() && known.is_none() {
        return Err(storage::Error::not_found(which.missing().message().to_owned()));
    }
    if let Some(known) = known {
        known.refuse_configured("overwrite").map_err(refuse)?;
    }
    if let (Some(known), Some(name)) = (known, &changes.name)
        && find(cameras, None, Some(name)).is_some_and(|other| other.uid != known.uid)
    {
        return Err(storage::Error::bad_request(format!("There is another webcam named '{name}'")));
    }
    if known.is_none() && cameras.len() >= MAX_CAMERAS {
        return Err(storage::Error::bad_request(format!(
            "There are {MAX_CAMERAS} webcams, more cannot be kept"
        )));
    }
    let base = match known {
        Some(known) => known.clone(),
        None => Camera::blank(camera::random_uid().map_err(refuse)?),
    };
    base.with(changes, known.is_none()).map_err(refuse)
}

#[cfg(test)]
mod tests;
