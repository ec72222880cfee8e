"""Music written for the film: where the library has nothing that fits, or where it is asked for.

| module | what it decides |
|---|---|
| wanted | which segments |
| mood | what their moods ask of music |
| keys | keys that follow the moods and each other |
| fitting | bars and tempo, so that cuts fall on downbeats |
| words | in which bars the melody is silent |
| theme | the tune of the note RNN, and its motif |
| balance | how loud each instrument is to play |
| unease | what tension adds |
| underscore | the piece: motif, chords, bass, endings |
| audition | which of several settings of a segment sounds right |
| cues | notes to sound, and the facts about them |
| step | what is checked, kept and handed to `segue score` |
"""
