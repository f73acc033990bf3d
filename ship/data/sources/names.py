"""The official names of classes that an archive does not tell, or tells only by its folders. Loads no torch.

In the order of the labels, as in TensorFlow Datasets 4.2.0; the grades of retinopathy are Kaggle's.
"""

from __future__ import annotations

NAMES = {
    "caltech101": (
        "accordion, airplanes, anchor, ant, background_google, barrel, bass, beaver, binocular, bonsai, brain, "
        "brontosaurus, buddha, butterfly, camera, cannon, car_side, ceiling_fan, cellphone, chair, chandelier, "
        "cougar_body, cougar_face, crab, crayfish, crocodile, crocodile_head, cup, dalmatian, dollar_bill, "
        "dolphin, dragonfly, electric_guitar, elephant, emu, euphonium, ewer, faces, faces_easy, ferry, flamingo, "
        "flamingo_head, garfield, gerenuk, gramophone, grand_piano, hawksbill, headphone, hedgehog, helicopter, "
        "ibis, inline_skate, joshua_tree, kangaroo, ketch, lamp, laptop, leopards, llama, lobster, lotus, "
        "mandolin, mayfly, menorah, metronome, minaret, motorbikes, nautilus, octopus, okapi, pagoda, panda, "
        "pigeon, pizza, platypus, pyramid, revolver, rhino, rooster, saxophone, schooner, scissors, scorpion, "
        "sea_horse, snoopy, soccer_ball, stapler, starfish, stegosaurus, stop_sign, strawberry, sunflower, tick, "
        "trilobite, umbrella, watch, water_lilly, wheelchair, wild_cat, windsor_chair, wrench, yin_yang"
    ),
    "dtd": (
        "banded, blotchy, braided, bubbly, bumpy, chequered, cobwebbed, cracked, crosshatched, crystalline, "
        "dotted, fibrous, flecked, freckled, frilly, gauzy, grid, grooved, honeycombed, interlaced, knitted, "
        "lacelike, lined, marbled, matted, meshed, paisley, perforated, pitted, pleated, polka-dotted, porous, "
        "potholed, scaly, smeared, spiralled, sprinkled, stained, stratified, striped, studded, swirly, veined, "
        "waffled, woven, wrinkled, zigzagged"
    ),
    "oxford_flowers102": (
        "pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon "
        "orchid, bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle, "
        "yellow iris, globe-flower, purple coneflower, peruvian lily, balloon flower, giant white arum lily, fire "
        "lily, pincushion flower, fritillary, red ginger, grape hyacinth, corn poppy, prince of wales feathers, "
        "stemless gentian, artichoke, sweet william, carnation, garden phlox, love in the mist, mexican aster, "
        "alpine sea holly, ruby-lipped cattleya, cape flower, great masterwort, siam tulip, lenten rose, barbeton "
        "daisy, daffodil, sword lily, poinsettia, bolero deep blue, wallflower, marigold, buttercup, oxeye daisy, "
        "common dandelion, petunia, wild pansy, primula, sunflower, pelargonium, bishop of llandaff, gaura, "
        "geranium, orange dahlia, pink-yellow dahlia?, cautleya spicata, japanese anemone, black-eyed susan, "
        "silverbush, californian poppy, osteospermum, spring crocus, bearded iris, windflower, tree poppy, "
        "gazania, azalea, water lily, rose, thorn apple, morning glory, passion flower, lotus, toad lily, "
        "anthurium, frangipani, clematis, hibiscus, columbine, desert-rose, tree mallow, magnolia, cyclamen, "
        "watercress, canna lily, hippeastrum, bee balm, ball moss, foxglove, bougainvillea, camellia, mallow, "
        "mexican petunia, bromelia, blanket flower, trumpet creeper, blackberry lily"
    ),
    "oxford_iiit_pet": (
        "Abyssinian, american_bulldog, american_pit_bull_terrier, basset_hound, beagle, Bengal, Birman, Bombay, "
        "boxer, British_Shorthair, chihuahua, Egyptian_Mau, english_cocker_spaniel, english_setter, "
        "german_shorthaired, great_pyrenees, havanese, japanese_chin, keeshond, leonberger, Maine_Coon, "
        "miniature_pinscher, newfoundland, Persian, pomeranian, pug, Ragdoll, Russian_Blue, saint_bernard, "
        "samoyed, scottish_terrier, shiba_inu, Siamese, Sphynx, staffordshire_bull_terrier, wheaten_terrier, "
        "yorkshire_terrier"
    ),
    "eurosat": (
        "AnnualCrop, Forest, HerbaceousVegetation, Highway, Industrial, Pasture, PermanentCrop, Residential, "
        "River, SeaLake"
    ),
    "resisc45": (
        "airplane, airport, baseball_diamond, basketball_court, beach, bridge, chaparral, church, "
        "circular_farmland, cloud, commercial_area, dense_residential, desert, forest, freeway, golf_course, "
        "ground_track_field, harbor, industrial_area, intersection, island, lake, meadow, medium_residential, "
        "mobile_home_park, mountain, overpass, palace, parking_lot, railway, railway_station, "
        "rectangular_farmland, river, roundabout, runway, sea_ice, ship, snowberg, sparse_residential, stadium, "
        "storage_tank, tennis_court, terrace, thermal_power_station, wetland"
    ),
    "diabetic_retinopathy": ("no retinopathy, mild, moderate, severe, proliferative"),
}


def names_of(task: str) -> list[str]:
    """The classes of a task, in the order of their labels."""
    return NAMES[task].split(", ")
