/* loss_text_tab.h - the texts of loss.c. One was written for it: prose, a
 * dialogue, a recipe, numbers, code. The other is of the kind that small models
 * learn to write: two stories that tools/model/generate.py drew with a seed that
 * the built-in model did not see. Calibration sees neither. */
#ifndef QN_QUANTIZE_LOSS_TEXT_TAB_H
#define QN_QUANTIZE_LOSS_TEXT_TAB_H

static const char loss_text[] =
    "The ferry left the island a little after seven, when the fog had thinned "
    "enough for the captain to see both lights. There were eleven passengers: "
    "a schoolteacher with a crate of library books, two brothers who had sold "
    "their sheep, and a family that slept through the whole crossing. Nobody "
    "spoke much. The engine made a steady noise, and the gulls followed as far "
    "as the last buoy before they turned back.\n\n"
    "\"Will you come again in the spring?\" asked the older brother.\n"
    "\"If the roof holds,\" said the teacher, and she smiled. \"Last winter it "
    "did not.\"\n\n"
    "To make the soup, cut two onions and a leek into thin rings and cook them "
    "slowly in butter until they are soft. Add a litre of water, three "
    "potatoes, salt and a bay leaf; after twenty minutes take the leaf out and "
    "press everything through a sieve. Serve it with bread.\n\n"
    "Water boils at 100 degrees Celsius at sea level, but on a mountain of "
    "3,000 metres it boils at about 90, because the air presses less on its "
    "surface. That is why beans take longer to cook there. Half of 48 is 24, "
    "and 24 plus 17 is 41.\n\n"
    "def mean(values):\n"
    "    total = 0\n"
    "    for value in values:\n"
    "        total += value\n"
    "    return total / len(values)\n\n"
    "The council met on Tuesday to decide about the old bridge. Three members "
    "wanted to repair it, since the stones were sound and only the railing had "
    "fallen; two wanted a new one, wide enough for lorries. In the end they "
    "agreed to ask an engineer, and to meet again when her report was ready. "
    "Until then the bridge stays open to walkers and bicycles, and the bus "
    "takes the longer road along the river.\n";

static const char loss_story[] =
    "Many years ago, on the wide plains, lived Emma, a lonely duck. She was "
    "small but brave, and she was never afraid to help a friend. She loved "
    "growing flowers more than anything else. Emma had a good friend called "
    "Ezra, who was a tiny donkey.\n\n"
    "One grey morning, Emma went to the market with her purple spoon. She "
    "wanted to swap it for something useful. First she met a farmer whose "
    "little girl was crying. Emma gave her the spoon, and she stopped "
    "crying. \"Take this hen for it,\" said the farmer.\n\n"
    "A little later she met Ezra, who needed it more than she did. \"Take "
    "it,\" said Emma. Ezra gave her a rusty key in return. \"I don't know "
    "what it opens,\" he said. \"A rusty key!\" laughed the people at home. "
    "But the old teacher grew pale. \"That is the key to the old library,\" "
    "he said. \"It has been locked for fifty years.\" That evening they "
    "opened the gate, and from then on it belonged to everyone.\n\n"
    "And Emma knew that even a small kindness can be the start of something "
    "big.\n\n"
    "Near an old railway line there lived a brown unicorn named Anna. Her "
    "house was small, but it was the cosiest for miles around. She liked to "
    "imagine ships with silver sails. Her best friend was Angus, a curious "
    "puppet. On the embankment lived a giant. Nobody had ever seen it up "
    "close, but everybody was afraid of it. At night you could hear it moan. "
    "When Angus's ball rolled into the giant's cave, Angus began to cry. \"I "
    "will get it,\" said Anna, although her knees were weak. The giant was "
    "sitting in front of its cave with a swollen cheek. \"What do you "
    "want?\" it growled, and then it said, \"Ouch.\" It had a toothache! It "
    "had been roaring with pain all that time.\n";

#endif
