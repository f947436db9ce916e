"use strict";
const GALLERY = {{ gallery | tojson }};
