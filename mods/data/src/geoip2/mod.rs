//! Module `geoip2`: where an address is, by a database of MaxMind's format.

#[cfg(test)]
mod mmdb;

use std::{net::IpAddr, sync::Arc};

use kahea_module::{
    BindError, Cx, Decl, Env, Fault, InitError, Module, Named, Naming, Str, Value,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult},
};
use maxminddb::{PathElement, Reader, path};
use parking_lot::RwLock;

type Database = Arc<Reader<Vec<u8>>>;

/// The module.
pub struct Geoip2 {
    path: Str,
    /// Exchanged by `geoip2.reload`; messages keep the one that they matched in.
    database: Arc<RwLock<Database>>,
}

/// Its parameters.
#[derive(Default)]
pub struct Params {
    path: Option<Str>,
    resid: Vec<Str>,
}

impl Module for Geoip2 {
    const NAME: &'static str = "geoip2";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "path",
            |p| &mut p.path,
            "The file of the database, such as GeoLite2-City.mmdb.",
        );
        d.param(
            "resid",
            |p| &mut p.resid,
            "The name of a result; names need no declaration here.",
        );
        d.func(
            "geoip2_match",
            ["address", "result"],
            geoip2_match,
            "Looks an address up and keeps what was found for $gip2; -2 where it is no address or not in the database.",
        )
        .kemi(2, "match")
        .example("if (geoip2_match(\"$si\", \"src\")) xlog(\"from $gip2(src=>cc)\\n\");");
        d.func(
            "geoip2_distance",
            ["address", "latitude", "longitude"],
            geoip2_distance,
            "The distance in miles between where an address is and a point in degrees, at least 1; -2 where the place is not known.",
        )
        .kemi(3, "distance");
        d.var_named(
            "gip2",
            Naming::Required,
            Named {
                parse: |text, _| Wanted::parse(text),
                get: |_, cx, wanted, _| wanted.get(cx),
                set: None,
                raw: false,
            },
            "What geoip2_match() found: $gip2(result=>field) with cc, tz, zip, lat, lon, nmask, city, regc, regn, metro or contc.",
        );
        d.rpc_waits("geoip2.reload", reload, "Reads the database file anew.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let path = params.path.ok_or_else(|| {
            InitError::new("geoip2 has no database")
                .help("add modparam(\"geoip2\", \"path\", \"/usr/share/GeoIP/GeoLite2-City.mmdb\")")
        })?;
        let bytes = (env.read_file)(&path.text()).map_err(|error| {
            InitError::new(format!("{path} cannot be read: {error}")).help("correct path")
        })?;
        let database = open(bytes).map_err(|error| {
            InitError::new(format!("{path} is no GeoIP2 database: {error}"))
                .help("get the file anew, or correct path")
        })?;
        Ok(Geoip2 {
            path,
            database: Arc::new(RwLock::new(database)),
        })
    }
}

fn open(bytes: Vec<u8>) -> Result<Database, maxminddb::MaxMindDbError> {
    Reader::from_source(bytes).map(Arc::new)
}

/// What the message looked up, by the names of results.
#[derive(Default)]
struct Matches(Vec<(Str, Database, IpAddr)>);

fn geoip2_match(m: &Geoip2, cx: &mut Cx, address: Str, result: Str) -> i64 {
    let all = &mut cx.extra::<Matches>().0;
    all.retain(|(known, ..)| *known != result);
    let Some(ip) = parse(&address) else { return -2 };
    let database = m.database.read().clone();
    let found = database.lookup(ip).is_ok_and(|found| found.has_data());
    if !found {
        return -2;
    }
    all.push((result, database, ip));
    1
}

fn parse(address: &Str) -> Option<IpAddr> {
    let text = address.as_utf8()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(text).parse().ok()
}

/// A field of a result.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Country,
    Zone,
    Postal,
    Latitude,
    Longitude,
    Mask,
    City,
    RegionCode,
    RegionName,
    Metro,
    Continent,
}

/// The inside of `$gip2()`.
#[derive(Debug)]
struct Wanted {
    result: Str,
    field: Field,
}

impl Wanted {
    fn parse(text: &str) -> Result<Wanted, BindError> {
        const HELP: &str =
            "write $gip2(src=>cc), or another of tz, zip, lat, lon, nmask, city, regc, regn, metro, contc";
        let (result, field) = text
            .split_once("=>")
            .ok_or_else(|| BindError::new(format!("'{text}' names no field of a result")).help(HELP))?;
        let field = match field.trim() {
            "cc" => Field::Country,
            "tz" => Field::Zone,
            "zip" => Field::Postal,
            "lat" => Field::Latitude,
            "lon" => Field::Longitude,
            "nmask" => Field::Mask,
            "city" => Field::City,
            "regc" => Field::RegionCode,
            "regn" => Field::RegionName,
            "metro" => Field::Metro,
            "contc" => Field::Continent,
            other => return Err(BindError::new(format!("a result has no field {other}")).help(HELP)),
        };
        Ok(Wanted {
            result: Str::from(result.trim()),
            field,
        })
    }

    /// `$null` where the message has no such result, or the database does not say.
    fn get(&self, cx: &mut Cx) -> Value {
        let all = &cx.extra::<Matches>().0;
        let found = all.iter().find(|(known, ..)| *known == self.result);
        found
            .and_then(|(_, database, ip)| self.field.read(database, *ip))
            .unwrap_or_default()
    }
}

impl Field {
    fn read(self, database: &Database, ip: IpAddr) -> Option<Value> {
        let text = |path: &[PathElement<'_>]| {
            let found = database.lookup(ip).ok()?;
            found
                .decode_path::<&str>(path)
                .ok()?
                .map(|text| Value::Str(Str::from(text)))
        };
        match self {
            Field::Country => text(&path!["country", "iso_code"]),
            Field::Zone => text(&path!["location", "time_zone"]),
            Field::Postal => text(&path!["postal", "code"]),
            Field::City => text(&path!["city", "names", "en"]),
            Field::RegionCode => text(&path!["subdivisions", 0, "iso_code"]),
            Field::RegionName => text(&path!["subdivisions", 0, "names", "en"]),
            Field::Continent => text(&path!["continent", "code"]),
            Field::Latitude => degrees(database, ip, "latitude").map(|n| Value::from(format!("{n:.6}"))),
            Field::Longitude => degrees(database, ip, "longitude").map(|n| Value::from(format!("{n:.6}"))),
            Field::Metro => {
                let found = database.lookup(ip).ok()?;
                let code = found
                    .decode_path::<u16>(&path!["location", "metro_code"])
                    .ok()??;
                Some(Value::from(code))
            }
            Field::Mask => {
                let network = database.lookup(ip).ok()?.network().ok()?;
                Some(Value::Int(network.prefix().into()))
            }
        }
    }
}

fn degrees(database: &Database, ip: IpAddr, which: &str) -> Option<f64> {
    let found = database.lookup(ip).ok()?;
    found.decode_path::<f64>(&path!["location", which]).ok()?
}

fn geoip2_distance(
    m: &Geoip2,
    _: &mut Cx,
    address: Str,
    latitude: Str,
    longitude: Str,
) -> Result<i64, Fault> {
    let number = |text: &Str| {
        let parsed = text.as_utf8().and_then(|text| text.trim().parse::<f64>().ok());
        parsed
            .filter(|n| n.is_finite())
            .ok_or_else(|| Fault::script(format!("'{text}' is no number of degrees")))
    };
    let point = (number(&latitude)?, number(&longitude)?);
    let Some(ip) = parse(&address) else { return Ok(-2) };
    let database = m.database.read().clone();
    let place = degrees(&database, ip, "latitude").zip(degrees(&database, ip, "longitude"));
    // A return code of 0 would end the script.
    Ok(place.map_or(-2, |place| miles(point, place).max(1)))
}

/// Whole miles between two points in degrees, on a sphere (haversine).
fn miles((lat1, lon1): (f64, f64), (lat2, lon2): (f64, f64)) -> i64 {
    const EARTH_RADIUS: f64 = 6371.0072 * 0.6214;
    let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
    let a = half(lat1, lat2) + lat1.to_radians().cos() * lat2.to_radians().cos() * half(lon1, lon2);
    let angle = 2.0 * a.sqrt().min(1.0).asin();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "no two points are 2^63 miles apart"
    )]
    let whole = (EARTH_RADIUS * angle) as i64;
    whole
}

fn reload<'a>(m: &'a Geoip2, _: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let path = m.path.text().into_owned();
        let read = tokio::task::spawn_blocking(move || {
            let bytes = std::fs::read(&path).map_err(|error| format!("{path} cannot be read: {error}"))?;
            open(bytes).map_err(|error| format!("{path} is no GeoIP2 database: {error}"))
        });
        let database = read
            .await
            .map_err(|error| error.to_string())
            .and_then(|read| read)
            .map_err(|why| RpcFault::new(500, format!("Reload failed: {why}")))?;
        *m.database.write() = database;
        Ok(Vec::new())
    })
}

#[cfg(test)]
mod tests {
    use kahea_module::{rpc::RpcValue, testing::Server};

    use super::{
        mmdb::{Field as Data, file, map, text},
        *,
    };

    fn city(country: &str, name: &str, metro: Option<u16>) -> Data {
        let mut location = vec![
            ("latitude", Data::Double(-36.85)),
            ("longitude", Data::Double(174.76)),
            ("time_zone", text("Pacific/Auckland")),
        ];
        location.extend(metro.map(|code| ("metro_code", Data::Uint16(code))));
        map(vec![
            ("city", map(vec![("names", map(vec![("en", text(name))]))])),
            ("continent", map(vec![("code", text("OC"))])),
            ("country", map(vec![("iso_code", text(country))])),
            ("location", map(location)),
            ("postal", map(vec![("code", text("1010"))])),
            (
                "subdivisions",
                Data::Array(vec![map(vec![
                    ("iso_code", text("AUK")),
                    ("names", map(vec![("en", text("Auckland region"))])),
                ])]),
            ),
        ])
    }

    fn module(bytes: Vec<u8>) -> Geoip2 {
        Geoip2 {
            path: Str::from_static("none.mmdb"),
            database: Arc::new(RwLock::new(open(bytes).expect("a database"))),
        }
    }

    fn example() -> Vec<u8> {
        file(&[
            ([127, 0, 1, 0], 24, city("NZ", "Auckland", Some(501))),
            (
                [127, 0, 0, 14],
                32,
                map(vec![("country", map(vec![("iso_code", text("FJ"))]))]),
            ),
        ])
    }

    fn read(cx: &mut Cx, text: &str) -> String {
        Wanted::parse(text).expect("a field").get(cx).to_string()
    }

    #[test]
    fn every_field_is_read() {
        let m = module(example());
        let mut cx = Server::default().invite();
        let (address, result) = (Str::from("127.0.1.77"), Str::from("src"));
        assert_eq!(geoip2_match(&m, &mut cx, address, result), 1);
        let fields = [
            "cc", "tz", "zip", "lat", "lon", "nmask", "city", "regc", "regn", "metro", "contc",
        ];
        let values = fields.map(|field| read(&mut cx, &format!("src=>{field}")));
        let wanted = [
            "NZ",
            "Pacific/Auckland",
            "1010",
            "-36.850000",
            "174.760000",
            "24",
            "Auckland",
            "AUK",
            "Auckland region",
            "501",
            "OC",
        ];
        assert_eq!(values, wanted);
        assert!(Wanted::parse("src=>nope").is_err() && Wanted::parse("src").is_err());
    }

    #[test]
    fn what_is_not_there_is_null() {
        let m = module(example());
        let mut cx = Server::default().invite();
        let result = || Str::from("src");
        assert_eq!(read(&mut cx, "src=>cc"), "<null>");
        assert_eq!(geoip2_match(&m, &mut cx, Str::from("127.0.0.14"), result()), 1);
        assert_eq!(read(&mut cx, "src=>cc"), "FJ");
        assert_eq!(read(&mut cx, "src=>city"), "<null>");
        assert_eq!(read(&mut cx, "other=>cc"), "<null>");
        for odd in ["127.0.0.15", "no address", "", "::1", "[::1]", "127.0.0.14.1"] {
            assert_eq!(geoip2_match(&m, &mut cx, Str::from(odd), result()), -2, "{odd}");
            assert_eq!(read(&mut cx, "src=>cc"), "<null>");
        }
    }

    #[test]
    fn distances_are_in_miles() {
        let m = module(example());
        let mut cx = Server::default().invite();
        let mut ask = |address: &str, latitude: &str, longitude: &str| {
            geoip2_distance(
                &m,
                &mut cx,
                Str::from(address),
                Str::from(latitude),
                Str::from(longitude),
            )
        };
        // Auckland to Sydney: about 1,340 miles.
        let far = ask("127.0.1.5", "-33.87", "151.21").expect("a distance");
        assert!((1330..1350).contains(&far), "{far}");
        assert_eq!(ask("127.0.1.5", "-36.85", "174.76"), Ok(1));
        assert_eq!(ask("127.0.0.14", "1", "1"), Ok(-2));
        assert_eq!(ask("127.9.9.9", "1", "1"), Ok(-2));
        assert!(ask("127.0.1.5", "north", "1").is_err());
    }

    #[test]
    fn a_broken_file_is_refused_and_its_records_do_no_harm() {
        assert!(open(Vec::new()).is_err());
        let whole = example();
        for end in 0..whole.len() {
            let mut cut = whole.clone();
            cut.truncate(end);
            assert!(open(cut).is_err(), "{end}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            if let Ok(database) = open(changed) {
                let ip = IpAddr::from([127, 0, 1, 77]);
                for field in [
                    Field::Country,
                    Field::Latitude,
                    Field::Metro,
                    Field::RegionName,
                    Field::Mask,
                ] {
                    let _ = field.read(&database, ip);
                }
            }
        }
    }

    #[tokio::test]
    async fn a_reload_that_fails_keeps_what_was_there() {
        let mut m = module(example());
        let mut call = RpcCall::new(Server::default().worker, Vec::<RpcValue>::new());
        let fault = reload(&m, &mut call).await.expect_err("there is no such file");
        assert_eq!(fault.code, 500);
        let mut cx = Server::default().invite();
        assert_eq!(
            geoip2_match(&m, &mut cx, Str::from("127.0.1.1"), Str::from("a")),
            1
        );
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.mmdb");
        std::fs::write(&path, file(&[([10, 0, 0, 0], 8, city("DE", "Berlin", None))]))
            .expect("it is written");
        m.path = Str::from(path.to_string_lossy().into_owned());
        assert_eq!(reload(&m, &mut call).await, Ok(Vec::new()));
        assert_eq!(
            geoip2_match(&m, &mut cx, Str::from("127.0.1.1"), Str::from("b")),
            -2
        );
        assert_eq!(
            geoip2_match(&m, &mut cx, Str::from("10.1.1.1"), Str::from("b")),
            1
        );
        // What was matched before is still read from where it was found.
        assert_eq!(read(&mut cx, "a=>cc"), "NZ");
        assert_eq!(read(&mut cx, "b=>cc"), "DE");
    }
}
